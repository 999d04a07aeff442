//! The short path never accepts what rustls-webpki or OpenSSL refuse: 100,000 mutants, always the same.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use common::{mutate, *};
use kakunin_core::crypto::Backend;
use kakunin_core::x509::{certificate::CertificateView, oid::Arc, pem};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

const MUTANTS: usize = 100_000;
const SEED: u64 = 20_261_123;

#[test]
fn nothing_is_accepted_that_webpki_or_openssl_refuse() {
    let world = World::under(Key::fixed(7), Key::fixed(8), Key::fixed(9));
    let verifier = world.builder().issuer(world.issuing_der.clone()).cache_capacity(0);
    let verifier = verifier.backend(Backend::fastest()).build(NOW).unwrap();
    let mut random = Random(SEED);
    let mut counts: BTreeMap<(&str, bool, bool), usize> = BTreeMap::new();
    let mut accepted = vec![world.leaf_der()];
    for _ in 0..MUTANTS {
        let mutant = mutate::mutant(&world, &mut random);
        let (ours, theirs) =
            (verifier.verify(&[&mutant.der], NOW).is_ok(), webpki_accepts(&world, &mutant.der));
        *counts.entry((mutant.kind, ours, theirs)).or_default() += 1;
        let hex = || kakunin_core::id::hex_encode(&mutant.der);
        assert!(!ours || theirs, "only ours accepts ({}): {}", mutant.kind, hex());
        if ours && !ends_now(&mutant.der) {
            accepted.push(mutant.der);
        }
    }
    let mut total = [0; 3];
    for ((kind, ours, theirs), count) in &counts {
        println!("{kind:35} ours {ours:5} webpki {theirs:5} {count:7}");
        total[usize::from(*ours) + usize::from(*theirs)] += count;
    }
    println!("both accept {}, only webpki accepts {}, both refuse {}", total[2], total[1], total[0]);
    assert!(total.iter().all(|count| *count > 1_000), "mutants too tame or too wild: {total:?}");

    println!("OpenSSL is asked about {}", accepted.len());
    for leaves in accepted.chunks(1_000) {
        assert_eq!(openssl_refuses(&world, leaves), Vec::<String>::new());
    }
}

fn webpki_accepts(world: &World, der: &[u8]) -> bool {
    let der = CertificateDer::from(der);
    let root = CertificateDer::from(world.root_der.as_slice());
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let issuing = [CertificateDer::from(world.issuing_der.as_slice())];
    let time = UnixTime::since_unix_epoch(Duration::from_secs(NOW.secs()));
    let Ok(leaf) = EndEntityCert::try_from(&der) else {
        return false;
    };
    let usage = KeyUsage::client_auth();
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &issuing, time, usage, None, None).is_ok()
}

/// The one known difference: OpenSSL counts the second of notAfter as expired, RFC 5280 and webpki do not.
fn ends_now(der: &[u8]) -> bool {
    CertificateView::parse(der, &Arc::default()).is_ok_and(|view| view.not_after == NOW)
}

/// What OpenSSL says of those it does not accept.
fn openssl_refuses(world: &World, leaves: &[Vec<u8>]) -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kakunin-verify-differential");
    std::fs::create_dir_all(&folder).unwrap();
    let save = |name: String, der: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, pem::encode(pem::CERTIFICATE, der)).unwrap();
        path
    };
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-attime"])
        .arg(NOW.secs().to_string())
        .arg("-CAfile")
        .arg(save("root.pem".into(), &world.root_der))
        .arg("-untrusted")
        .arg(save("issuing.pem".into(), &world.issuing_der))
        .args(leaves.iter().enumerate().map(|(i, der)| save(format!("{i}.pem"), der)))
        .output()
        .expect("`openssl` runs: install it, it is the second oracle");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let (ok, other): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.ends_with(": OK"));
    if ok.len() == leaves.len() { Vec::new() } else { other.into_iter().map(str::to_owned).collect() }
}
