#![no_main]
//! `Signature-Input`, `Signature` and certificates in header fields, from a stranger.

use kakunin_verify::possession::{fuzz_signature, parse_certificates, write_certificates};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (input, signature) = text.split_once('\n').unwrap_or((text, text));
    fuzz_signature(input, signature);
    if let Ok(chain) = parse_certificates(text) {
        assert_eq!(parse_certificates(&write_certificates(&chain)), Ok(chain));
    }
});
