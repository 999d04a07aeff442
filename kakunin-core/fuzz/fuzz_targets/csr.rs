#![no_main]
//! PKCS#10 requests, from a stranger.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = kakunin_core::x509::csr::Proven::read(data);
});
