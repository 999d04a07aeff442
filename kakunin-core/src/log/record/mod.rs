//! What the log says: every kind of record, and how it becomes a leaf with its payload.
//!
//! | file | has |
//! |---|---|
//! | `seal.rs` | a record, and how it becomes an entry of a log and is read back |
//! | `control.rs` | the kinds of records that are not events |
//! | `kinds.rs` | their names and numbers |
//! | `parts.rs`, `policy.rs`, `snapshot.rs` | what such records are made of |

mod control;
mod kinds;
mod parts;
mod policy;
mod seal;
mod snapshot;

pub use control::Control;
pub use parts::{CaRole, Evidence, KeyAction, KeyBinding, Recovery, Renewal, Stage};
pub use policy::{
    Approval, Braked, InCommon, PolicyChange, Request, Requested, Resolved, Shadowed, Tripped, VerdictGiven,
};
pub use seal::{Body, EVENT, Record, RecordError};
pub use snapshot::{HistoriesHash, RevocationsHash, RowsHash, Sha256Hash, StateSnapshot, TableHash};
