//! Local keys through the suites that any provider must pass.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::num::NonZeroU32;
use std::sync::Arc;

use kakunin_core::conformance::key_provider::{Abilities, all, survives_reopening};
use kakunin_core::key::{KeyAlgorithm, KeyProvider};
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;

fn abilities() -> Abilities {
    use KeyAlgorithm::{Ed25519, P256, Rsa2048, Rsa3072, Rsa4096};
    Abilities { algorithms: vec![P256, Ed25519, Rsa2048, Rsa3072, Rsa4096], longest_whole: None }
}

#[test]
fn in_memory() {
    block_on(all(&LocalKeys::ephemeral(), &abilities()));
}

#[test]
fn in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn KeyProvider> {
        let (secret, cost) = (Secret::new("passphrase").unwrap(), KdfCost(NonZeroU32::MIN));
        Arc::new(LocalKeys::open_with_cost(dir.path().join("keys"), &secret, cost).unwrap())
    };
    // A key of RSA-4096 takes a second to make, and differs from RSA-3072 in nothing a folder can see.
    let Abilities { mut algorithms, longest_whole } = abilities();
    algorithms.retain(|a| *a != KeyAlgorithm::Rsa4096);
    block_on(all(&*open(), &Abilities { algorithms, longest_whole }));
    for algorithm in abilities().algorithms {
        let dir = tempfile::tempdir().unwrap();
        let open = || -> Arc<dyn KeyProvider> {
            let (secret, cost) = (Secret::new("passphrase").unwrap(), KdfCost(NonZeroU32::MIN));
            Arc::new(LocalKeys::open_with_cost(dir.path(), &secret, cost).unwrap())
        };
        block_on(survives_reopening(open, algorithm));
    }
}
