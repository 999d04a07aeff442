#![no_main]
//! Frames, snapshots, cosigned checkpoints and event streams, from a stranger.

use std::sync::Arc;

use kakunin_core::feed::{Frame, Standing};
use kakunin_core::id::IssuerId;
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::time::UnixTime;
use kakunin_verify::RevocationHandle;
use kakunin_verify::feed::{Events, Follower};
use libfuzzer_sys::fuzz_target;

const FEED_KEY: &str = "ca.example/feed+533fdcc5+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";

fuzz_target!(|data: &[u8]| {
    if let Ok(standing) = Standing::decode(data) {
        assert_eq!(standing.encode(), data);
    }
    let issuer = IssuerId::from_bytes([1; 20]);
    if let Ok(frame) = Frame::parse(data) {
        assert_eq!(Frame::parse(&frame.to_json().unwrap()), Ok(frame.clone()));
        frame.entries.iter().for_each(|entry| _ = entry.open(&issuer));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = CosignerKey::parse(FEED_KEY).unwrap().open(text);
        if let Ok(other) = CosignerKey::parse(text) {
            assert_eq!(other.to_string(), text.trim_end_matches('\n'));
        }
    }
    // However it comes in pieces, the events are the same.
    let (mut whole, mut halves) = (Events::default(), Events::default());
    let (first, second) = data.split_at(data.len() / 2);
    let pieces = [first, second].map(|half| halves.push(half).unwrap()).concat();
    assert_eq!(whole.push(data).unwrap(), pieces);
    // Nothing of it is the word of this key.
    let key = Arc::new(CosignerKey::parse(FEED_KEY).unwrap());
    let mut follower = Follower::new(issuer, key, RevocationHandle::default()).unwrap();
    assert!(follower.frame(data, UnixTime::from_secs(1)).is_err());
    assert!(follower.snapshot(data, UnixTime::from_secs(1)).is_err());
});
