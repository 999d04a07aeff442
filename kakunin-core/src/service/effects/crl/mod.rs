//! CRLs: a follower of the revocation log.
//!
//! | file | does |
//! |---|---|
//! | `index.rs`, `follow.rs` | what CRLs have to say, encoded, by shard; it follows the revocation log |
//! | `draft.rs`, `guard.rs` | the next CRL, and what it may not take back |
//! | `kept.rs` | what is published of one issuing CA, and how that goes |
//! | `publisher.rs` | signs, records, serves; when something changed, and before the end |
//! | `unwritten.rs` | puts them on record; where there is no room, later |
//! | `published.rs` | a CRL as it was published, also across restarts |
//! | `roots.rs`, `root_ends.rs` | CRLs of roots, made here or brought from where the root is kept, and until when they are valid |

mod draft;
mod follow;
mod guard;
mod index;
mod kept;
mod published;
mod publisher;
mod root_ends;
mod roots;
mod unwritten;

pub(super) use kept::{Publisher, RootCrls, Unwritten};
pub use kept::{Publishing, RefusedCrl};
pub use published::{FULL_CRL_AGE, PublishedCrl};
pub use publisher::COALESCE_MOST;
pub(super) use publisher::Crls;
pub(super) use root_ends::OfRoots;
pub use root_ends::RootCrlEnding;
pub(super) use unwritten::CrlRecords;
