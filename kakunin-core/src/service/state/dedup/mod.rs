//! Which events of an agent were recorded already, told apart by who reported them: nothing that one
//! reporter sends makes an event of another one a duplicate, or takes its room.

mod fingerprint;
mod nonces;
mod numbers;
mod row;
mod seen;

pub(crate) use fingerprint::Fingerprint;
pub(crate) use row::{Reporter, Row};
pub(crate) use seen::Seen;
