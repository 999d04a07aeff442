//! What `kakunin-core` issues is what this crate, webpki and OpenSSL accept.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::process::Command;

use common::*;
use kakunin_core::agent::{Agent, NewAgent};
use kakunin_core::id::Serial;
use kakunin_core::issue::{self, Place, Profile};
use kakunin_core::key::{Signature, Spki};
use kakunin_core::revoke::RevokedSet;
use kakunin_core::x509::name::NameParts;
use kakunin_core::x509::{ca, oid, pem};
use kakunin_verify::{RevocationHandle, Snapshot, TrustAnchor, Verifier};

#[test]
fn an_issued_certificate_is_accepted_by_us_and_by_openssl() {
    for make in [Key::p256, Key::rsa] {
        let (root_key, issuing_key, leaf_key) = (make(), make(), make());
        let spki = |key: &Key| Spki::from_der(&key.spki()).unwrap();
        let number = |n| Serial::from_der_integer(&serial(n)).unwrap();
        let names = |cn| NameParts {
            organization: Some("Example"),
            unit: None,
            common_name: Some(cn),
            serial_number: None,
        };
        let sign = |key: &Key, message: &[u8]| Signature::new(key.sign(message));

        let prepared = ca::prepare_root(&names("root"), &spki(&root_key), &number(0x50), None, NOW).unwrap();
        let signature = sign(&root_key, prepared.to_be_signed());
        let root = prepared.assemble(&signature).unwrap();
        let issuing = (&names("issuing"), &spki(&issuing_key));
        let prepared =
            ca::prepare_issuing(&root, issuing.0, issuing.1, &number(0x51), None, None, NOW).unwrap();
        let signature = sign(&root_key, prepared.to_be_signed());
        let issuing = prepared.assemble(&signature).unwrap();
        let place = Place {
            trust_domain: domain(),
            public_url: "https://kakunin.example.org".to_owned(),
            arc: oid::Arc::default(),
        };
        let c = claims();
        let spec = NewAgent {
            environment: c.environment,
            model_hash: c.model_hash,
            scope: c.scope,
            ..NewAgent::new("payments agent", &format!("sha256:{:064}", 0), [""; 0]).unwrap()
        };
        let agent = Agent::register(c.agent, c.tenant, spec, NOW).unwrap();
        let prepared =
            issue::prepare(&issuing, &place, &agent, &spki(&leaf_key), Profile::Standard, number(0x42), NOW)
                .unwrap();
        let signature = sign(&issuing_key, prepared.to_be_signed());
        let leaf = prepared.assemble(&issuing, &signature).unwrap().der;

        for backend in backends() {
            let handle = RevocationHandle::default();
            handle.publish(Snapshot::new(NOW).with(issuing.id(), RevokedSet::default()));
            let anchor = TrustAnchor::new(root.as_der(), domain()).unwrap();
            let verifier = Verifier::builder(handle).anchor(anchor).backend(backend).build(NOW).unwrap();
            let chain = [leaf.as_slice(), issuing.as_der()];
            let allowed = verifier.check(&chain, ACTION, NOW).unwrap();
            assert_eq!(allowed.agent().agent(), &agent.id);
            for i in 0..leaf.len() {
                let mut altered = leaf.clone();
                altered[i] ^= 1;
                let refused = verifier.verify(&[altered.as_slice(), issuing.as_der()], NOW);
                assert!(refused.is_err(), "byte {i}");
            }
        }
        rustls_accepts(root.as_der(), issuing.as_der(), &leaf);
        openssl_accepts(root.as_der(), issuing.as_der(), &leaf);
    }
}

/// As a server of rustls does it when a client presents the chain.
fn rustls_accepts(root: &[u8], issuing: &[u8], leaf: &[u8]) {
    let der = |octets: &[u8]| rustls::pki_types::CertificateDer::from(octets.to_vec());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(root)).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    let time = rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW.secs()));
    verifier.build().unwrap().verify_client_cert(&der(leaf), &[der(issuing)], time).unwrap();
}

fn openssl_accepts(root: &[u8], issuing: &[u8], leaf: &[u8]) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kakunin-verify-issued");
    std::fs::create_dir_all(&folder).unwrap();
    let save = |name: &str, der: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, pem::encode(pem::CERTIFICATE, der)).unwrap();
        path
    };
    let output = Command::new("openssl")
        .args([
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-attime",
            &NOW.secs().to_string(),
            "-CAfile",
        ])
        .arg(save("root.pem", root))
        .arg("-untrusted")
        .arg(save("issuing.pem", issuing))
        .arg(save("leaf.pem", leaf))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
