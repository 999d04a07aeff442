#![doc = include_str!("../README.md")]

pub mod agent;
pub mod algorithms;
pub mod anchor;
mod ca_rules;
mod cache;
mod checker;
#[cfg(feature = "tower")]
mod content;
mod context;
pub mod denied;
pub mod dry_run;
#[cfg(feature = "follow")]
pub mod feed;
mod following;
#[cfg(feature = "tower")]
mod gate;
pub mod guard;
mod issuer;
mod known;
#[cfg(feature = "tower")]
pub mod layer;
mod leaf;
pub mod policy;
#[cfg(feature = "possession")]
pub mod possession;
#[cfg(feature = "tower")]
mod presented;
pub mod report;
pub mod revocation;
pub mod target;
mod trust;
pub mod verifier;
mod words;

pub use agent::{Authorized, VerifiedAgent};
pub use anchor::{SetupError, TrustAnchor};
pub use denied::{Code, Denied};
pub use guard::{Guard, Refused};
pub use policy::Policy;
pub use revocation::{RevocationHandle, RevocationView, Snapshot};
pub use verifier::{Verifier, VerifierBuilder};
