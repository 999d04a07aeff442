#![no_main]
//! Checkpoints, notes and verifier keys, from a stranger.

use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::note::VerifierKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    if let Ok(checkpoint) = Checkpoint::parse(data) {
        assert_eq!(checkpoint.to_text(), data);
    }
    let key =
        VerifierKey::parse("kakunin.example/t/acme+72c63192+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4")
            .unwrap();
    let _ = Checkpoint::open(data, &key);
    if let Ok(other) = VerifierKey::parse(data) {
        assert_eq!(other.to_string(), data.trim_end_matches('\n'));
    }
});
