#![no_main]
//! A leaf that decodes is encoded to the same octets: there is one spelling of each.

use kakunin_core::log::leaf::Leaf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(leaf) = Leaf::decode(data) {
        assert_eq!(leaf.encode().unwrap(), data);
    }
});
