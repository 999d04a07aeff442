//! What a tenant's log says of the tenant itself.
//!
//! | file | has |
//! |---|---|
//! | `fold.rs` | all of it, how a record changes it, and its rows |
//! | `policies.rs`, `in_force.rs` | what was decided over scores, and since when; which of it decides |
//! | `breaker.rs` | identities that were lost of late, and whether further ones are held |
//! | `approvals.rs` | what waits for a second person |
//! | `webhooks.rs` | endpoints that are told what is on record |

pub(crate) mod approvals;
pub(crate) mod breaker;
mod fold;
mod in_force;
pub(crate) mod policies;
pub(crate) mod webhooks;

pub(crate) use fold::{Own, TABLES};
pub use in_force::InForce;
