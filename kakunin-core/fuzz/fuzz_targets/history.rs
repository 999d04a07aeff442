#![no_main]
//! A stored risk history that decodes is encoded to the same octets; one of an older encoding, to what is the same history.

use kakunin_core::risk::History;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(history) = History::decode(data) {
        let encoded = history.encode();
        assert!(encoded == data || data.first().is_some_and(|version| *version < 3));
        assert_eq!(History::decode(&encoded), Some(history));
    }
});
