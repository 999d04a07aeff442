#![no_main]
//! CRLs, from whoever answers at a URL; and by our own CA's hand: nothing is taken that rustls-webpki does not read.

use std::sync::LazyLock;

use kakunin_core::time::UnixTime;
use kakunin_core::x509::ca::Issuer;
use kakunin_core::x509::crl::CrlView;
use kakunin_core::x509::der::{Reader, Writer};
use kakunin_core::x509::oid;
use kakunin_verify::Snapshot;
use libfuzzer_sys::fuzz_target;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use webpki::BorrowedCertRevocationList;

/// When the seeds are good: 2026-11-23T08:00:00Z.
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

/// Who signs the seeds, and its key.
static ISSUER: LazyLock<(Issuer, SigningKey)> = LazyLock::new(|| {
    let issuer = Issuer::from_der(include_bytes!("../issuing.der").to_vec()).expect("the file is a CA");
    (issuer, SigningKey::from_slice(&[8; 32]).expect("a number below the order"))
});

/// What stands in it, under a signature that is right.
fn signed(crl: &[u8]) -> Option<Vec<u8>> {
    let tbs = Reader::new(crl).sequence().and_then(|mut crl| crl.raw(0x30)).ok()?;
    let signature: Signature = ISSUER.1.sign(tbs);
    let mut out = Writer::new();
    out.sequence(|w| {
        _ = w.raw(tbs).raw(oid::ECDSA_WITH_SHA256_IDENTIFIER).bit_string(signature.to_der().as_bytes())
    });
    Some(out.into_bytes())
}

fuzz_target!(|data: &[u8]| {
    let Ok(crl) = CrlView::parse(data) else { return };
    assert!(crl.serials().count() <= data.len());
    let Some(signed) = signed(data).filter(|_| !crl.partial) else { return };
    if Snapshot::from_crl(&ISSUER.0, &signed, NOW).is_ok() {
        assert!(BorrowedCertRevocationList::from_der(&signed).is_ok(), "only ours takes it");
    }
});
