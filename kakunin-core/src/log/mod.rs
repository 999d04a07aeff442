//! The tamper-evident log: one RFC 6962 tree per tenant, for the deployment, and per issuing CA.
//!
//! Whoever has the log's key checks offline that a record is in it:
//!
//! ```
//! # pollster::block_on(async {
//! # use kakunin_core::prelude::*;
//! # use kakunin_kms::local::LocalKeys;
//! # use std::sync::Arc;
//! #
//! # let mut config = Config::new("agents.example")?;
//! # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
//! # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
//! # let kakunin = Kakunin::open(config, parts).await?;
//! # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
//! # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
//! # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
//! # let agent = acme.register(spec).await?;
//! use kakunin_core::log::checkpoint::Checkpoint;
//! use kakunin_core::log::merkle::{inclusion_proof, leaf_hash, verify_inclusion};
//! use kakunin_core::log::note::VerifierKey;
//!
//! let key = VerifierKey::parse(&acme.log_verifier().await?)?;
//! let signed = Checkpoint::open(&acme.checkpoint().await?.ok_or("an empty log")?, &key)?;
//!
//! // The log's side: all leaves, and the way from one of them to the root.
//! let entries = acme.entries(0, 1_000).await?;
//! let hashes: Vec<_> = entries.iter().map(|entry| leaf_hash(&entry.leaf)).collect();
//! let proof = inclusion_proof(&hashes, 0);
//!
//! // The auditor's side: one leaf, the proof, and what was signed.
//! verify_inclusion(0, signed.size, &leaf_hash(&entries[0].leaf), &proof, &signed.root)?;
//! assert!(verify_inclusion(0, signed.size, &leaf_hash(b"another"), &proof, &signed.root).is_err());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

pub mod checkpoint;
pub mod cosignature;
pub mod leaf;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod range;
pub mod subtrees;

#[cfg(feature = "service")]
pub mod entry;
#[cfg(feature = "service")]
pub(crate) mod glance;
#[cfg(feature = "service")]
pub mod record;
#[cfg(feature = "service")]
pub mod walk;
