//! What records make of an agent and its certificates.

mod agent;
mod certificate;
mod key;
mod record;
mod step;

pub(crate) use record::apply;
