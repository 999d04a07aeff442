//! Keys in a hardware security module, or any other PKCS#11 token (OASIS PKCS #11 2.40 and later).
//!
//! | file | does |
//! |---|---|
//! | `module.rs` | the vendor's library, and its lives |
//! | `objects.rs` | what a key is on the token: templates, marks, public keys, signatures |
//! | `provider.rs`, `reference.rs` | the contract of key providers; what is kept of a key |
//! | `token.rs` | threads with a session each; logs in again when the token comes back |
//! | `seal.rs` | a key of the token that seals (feature `seal`) |
//! | `config.rs`, `which.rs` | how to reach a token; which one is meant |
//!
//! Private keys are made on the token, sensitive and not extractable. PKCS#11 knows no disabled key: the
//! label of the private object says whether this crate uses it, and each signature looks first. A retired
//! key's private object is destroyed; its public object stays, marked, so that nothing is made in its place.

mod config;
mod module;
mod objects;
mod provider;
mod reference;
#[cfg(feature = "seal")]
mod seal;
mod token;
mod which;

pub use config::Pkcs11Config;
pub use provider::Pkcs11Keys;
#[cfg(feature = "seal")]
pub use seal::{HsmSeal, SealingKey};
pub use which::WhichToken;
