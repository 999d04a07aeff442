//! Reading what is committed.

pub(crate) mod agents;
pub(crate) mod authorities;
pub(crate) mod certificates;
pub(crate) mod explained;
mod filling;
pub(crate) mod filter;
mod finding;
pub(crate) mod inbox;
pub(crate) mod log_check;
pub(crate) mod page;
pub(crate) mod policy;
pub(crate) mod proofs;
pub(crate) mod reading;
mod scopes;
pub(crate) mod stored;
mod times;
mod trust;
pub(crate) mod view;
