#![no_main]
//! CRLs, from whoever answers at a URL.

use kakunin_core::x509::crl::CrlView;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(crl) = CrlView::parse(data) {
        assert!(crl.serials().count() <= data.len());
    }
});
