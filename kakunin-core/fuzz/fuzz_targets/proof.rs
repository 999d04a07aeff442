#![no_main]
//! Proofs of leaves and of ranges, from a stranger.

use kakunin_core::log::merkle::leaf_hash;
use kakunin_core::log::note::VerifierKey;
use kakunin_core::log::proof::TlogProof;
use kakunin_core::log::range::{RangeProof, verify_range};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let key =
        VerifierKey::parse("kakunin.example/t/acme+72c63192+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4")
            .unwrap();
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_text(), data);
        let _ = proof.verify(b"PQRSTUVW", &key);
        // The same hashes as a range, of whatever size: it ends, and is refused.
        let (left, right) = proof.hashes.split_at(proof.hashes.len() / 2);
        let range = (proof.index, &[leaf_hash(b"PQRSTUVW"); 3][..]);
        for size in [proof.index, proof.index.saturating_add(3), u64::MAX] {
            assert!(verify_range(range, (left, right), (size, &[0; 32])).is_err());
        }
    }
    if let Ok(proof) = serde_json::from_str::<RangeProof>(data) {
        let _ = proof.verify(&[leaf_hash(b"PQRSTUVW")], &key);
    }
});
