//! Keys in AWS KMS: made there, never exported; only their ARNs are kept.
//!
//! | file | does |
//! |---|---|
//! | `config.rs` | what an operator chooses; the client, built by hand |
//! | `calls.rs` | quota, retries, breaker around each call |
//! | `pace.rs`, `breaker.rs` | the quota and the breaker themselves |
//! | `client.rs`, `provider.rs` | the client, and the contract of key providers |
//! | `keys.rs`, `reference.rs` | what a key is there, and its states; what is kept of it |
//! | `generate.rs`, `inventory.rs` | making one once; finding it by its alias or its tags |
//! | `grants.rs` | workloads that sign with it by themselves |
//! | `signer.rs` | one key that signs |
//! | `seal.rs` | one key that seals (feature `seal`) |
//!
//! Each call runs on the Tokio runtime that [`AwsKeys`] was made in, to its end, whoever awaits it and on
//! whatever runtime. `CreateKey` is not idempotent: the alias decides which key a planned identifier has,
//! and tags show those that lost, or whose maker died before it named them.

mod breaker;
mod calls;
mod client;
mod config;
mod generate;
mod grants;
mod inventory;
mod keys;
mod pace;
mod provider;
mod reference;
#[cfg(feature = "seal")]
mod seal;
mod signer;

pub use client::AwsKeys;
pub use config::{AwsConfig, Credentials, Quotas};
#[cfg(feature = "seal")]
pub use seal::KmsSeal;
