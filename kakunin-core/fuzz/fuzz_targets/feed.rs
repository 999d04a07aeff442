#![no_main]
//! Frames, snapshots and cosigned checkpoints of a revocation feed, from a stranger.

use kakunin_core::feed::{Frame, Snapshot, Standing, origin};
use kakunin_core::id::IssuerId;
use kakunin_core::log::cosignature::CosignerKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let issuer = IssuerId::from_bytes([1; 20]);
    if let Ok(frame) = Frame::parse(data) {
        for entry in &frame.entries {
            let _ = entry.open(&issuer);
        }
        assert_eq!(Frame::parse(&frame.to_json().unwrap()), Ok(frame));
    }
    if let Ok(standing) = Standing::decode(data) {
        assert_eq!(standing.encode(), data);
    }
    let key = CosignerKey::parse("witness.example/w1+20324abe+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X");
    let key = key.unwrap();
    // Nobody here has the key.
    assert!(Snapshot::open(data, &key, "witness.example/_revocations-01/1").is_err());
    if let Ok(note) = core::str::from_utf8(data) {
        assert!(key.open(note).is_err());
    }
    assert!(origin(&key, &issuer).is_err());
});
