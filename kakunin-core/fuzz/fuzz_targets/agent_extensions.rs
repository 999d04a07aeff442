#![no_main]
//! Certificates and the scope extension, from a stranger.

use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::extensions::{RawClaims, decode_scope};
use kakunin_core::x509::oid::Arc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = decode_scope(data);
    if let Some((n, value)) = data.split_first() {
        let mut claims = RawClaims::default();
        let _ = claims.take(*n, value);
        let _ = claims.to_owned();
    }
    if let Ok(view) = CertificateView::parse(data, &Arc::default()) {
        let _ = (view.serial(), view.issuer_id(), view.extensions.agent.to_owned());
    }
});
