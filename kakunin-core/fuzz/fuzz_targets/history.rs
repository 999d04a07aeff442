#![no_main]
//! A stored risk history that decodes is encoded to the same octets.

use kakunin_core::risk::History;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(history) = History::decode(data) {
        assert_eq!(history.encode(), data);
    }
});
