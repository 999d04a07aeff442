//! Revocation: reasons, the record of it, and the set that verifiers look into.

mod halt;
mod live;
mod reason;
mod record;
mod rule;
mod set;

pub use halt::{Halt, Receipt};
pub use live::{LiveRevocations, UnknownIssuer};
pub use reason::{Cause, Reason};
pub use record::{Revocation, RevocationChange, Said};
pub use rule::Acceptance;
pub use set::RevokedSet;
