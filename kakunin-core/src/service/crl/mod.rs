//! CRLs: a follower of the revocation log.
//!
//! | file | does |
//! |---|---|
//! | `index.rs`, `follow.rs` | what CRLs have to say, encoded, by shard; it follows the revocation log |
//! | `draft.rs`, `guard.rs` | the next CRL, and what it may not take back |
//! | `mark.rs` | number and thisUpdate, which grow together |
//! | `publisher.rs` | signs, records, serves; when something changed, and before the end |
//! | `published.rs` | a CRL as it was published, also across restarts |
//! | `roots.rs` | CRLs of roots, made here or brought from where the root is kept |

mod draft;
mod follow;
mod guard;
mod index;
mod mark;
mod published;
mod publisher;
mod roots;
mod unwritten;

pub use guard::Regression;
pub(super) use mark::{MARKS, Mark, mark_row};
pub use published::{FULL_CRL_AGE, PublishedCrl};
pub(super) use publisher::Publisher;
pub use publisher::{Publishing, RefusedCrl};
pub(super) use roots::RootCrls;
pub(super) use unwritten::Unwritten;
