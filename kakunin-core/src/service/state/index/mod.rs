//! Where in a log agents, certificates and kinds of records occur, so that whoever looks for few among many reads few.
//!
//! A log is cut into segments of 4,096 records, and 16 of these are a block. A full segment has one row for each subject
//! that occurs in it, a full block one for each subject that occurs in that.
//!
//! | row | key | value |
//! |---|---|---|
//! | of a segment | 0, block (5), subject, place of the segment in its block (1) | 4 octets a record: its place (2), its mark (2) |
//! | of a block | 1, subject, block (5) | 4 octets a coarse mark (2) that occurs: in which segments (2, a bit each) |
//!
//! A subject is 0 for all records; 1 and 8 octets of an agent's id; or 2 and 8 octets of a serial number. Two may share
//! them: whoever reads looks at the record, too. No name is in here, nothing that erasure takes away.
//!
//! | file | has |
//! |---|---|
//! | `mark.rs` | as what a record is found |
//! | `rows.rs` | these rows |
//! | `cursor.rs` | up to where there are such rows |

pub(crate) mod cursor;
pub(crate) mod mark;
pub(crate) mod rows;

/// Records that are indexed together.
pub(crate) const SEGMENT: u64 = 4_096;
/// Segments of a block.
pub(crate) const SEGMENTS: u64 = 16;
/// Records of a block.
pub(crate) const BLOCK: u64 = SEGMENT * SEGMENTS;
