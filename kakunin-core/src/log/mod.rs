//! The tamper-evident log: one RFC 6962 tree per tenant, for the deployment, and per issuing CA.

pub mod checkpoint;
pub mod cosignature;
pub mod leaf;
pub mod merkle;
pub mod note;

#[cfg(feature = "service")]
pub mod entry;
#[cfg(feature = "service")]
pub mod record;
