//! x509-limbo: 208 chains of other people's making, most of them wrong in one thing; 80 of them lie beside
//! this file (Apache-2.0, generated from C2SP/x509-limbo at 8a2e6f41).
//!
//! With the agent profile off they exercise what validates our issuers: rustls-webpki over our algorithms.
//! With it on, none of their leaves may pass, since none has the agent extensions.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use common::*;
use kakunin_core::crypto::Backend;
use kakunin_core::time::{Civil, Clock, SystemClock, UnixTime};
use kakunin_core::x509::ca::Issuer;
use kakunin_core::x509::crl::CrlView;
use kakunin_core::x509::pem;
use kakunin_verify::algorithms::Algorithm;
use kakunin_verify::{Policy, TrustAnchor, Verifier};
use rustls_pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm};
use serde_json::Value;
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
};

const CASES: usize = 208;
const SAMPLE: usize = 80;
/// Cases that come out otherwise than the corpus says, with the reason: id, tab, reason.
const EXCEPTIONS: &str = include_str!("limbo-exceptions.tsv");

/// The whole corpus from the folder that `KAKUNIN_DATA` names, else the sample that the tree holds.
fn corpus() -> Vec<Value> {
    let (path, cases) = match std::env::var_os("KAKUNIN_DATA") {
        Some(data) => (PathBuf::from(data).join("x509-limbo/x509-limbo-core.json.gz"), CASES),
        None => (PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/limbo-sample.json.gz"), SAMPLE),
    };
    let file = std::fs::File::open(&path);
    let file = file.unwrap_or_else(|e| panic!("no x509-limbo at {}: {e}", path.display()));
    let corpus: Value = serde_json::from_reader(flate2::read::GzDecoder::new(file)).unwrap();
    let found = corpus["testcases"].as_array().unwrap().clone();
    assert_eq!(found.len(), cases);
    found
}

#[test]
fn issuer_validation_comes_out_as_listed() {
    let exceptions: BTreeMap<&str, &str> = EXCEPTIONS.lines().filter_map(|l| l.split_once('\t')).collect();
    for backend in backends() {
        let mut surprises = Vec::new();
        let (mut good_refused, mut excused) = (0, 0);
        let corpus = corpus();
        for case in &corpus {
            let id = case["id"].as_str().unwrap();
            let expected = case["expected_result"] == "SUCCESS";
            let result = validate(case, backend);
            let as_expected = result.is_ok() == expected;
            good_refused += usize::from(expected && !as_expected);
            excused += usize::from(exceptions.contains_key(id));
            match (as_expected, exceptions.contains_key(id)) {
                (true, true) => surprises.push(format!("{id}: the exception no longer applies")),
                (false, false) => {
                    surprises.push(format!("{id}\t{}", result.err().unwrap_or("accepted".into())))
                }
                _ => {}
            }
        }
        let (all, as_listed) = (corpus.len(), corpus.len() - excused);
        println!("{backend:?}: {as_listed} of {all} as expected, {good_refused} good chains refused");
        assert!(surprises.is_empty(), "over {backend:?}:\n{}", surprises.join("\n"));
    }
}

#[test]
fn no_foreign_leaf_is_an_agent() {
    for case in corpus() {
        let now = time_of(&case);
        let leaf = certificates(&case["peer_certificate"]).remove(0);
        let mut chain = vec![leaf];
        chain.extend(certificates(&case["untrusted_intermediates"]));
        let lax = Policy::strict().dangerously_ignore_staleness().dangerously_accept_unknown_revocation();
        let roots = certificates(&case["trusted_certs"]);
        // Roots stand in the chain as well, for those that sign leaves themselves.
        chain.extend(roots.clone());
        let builder = Verifier::builder(kakunin_verify::RevocationHandle::default()).policy(lax);
        let anchors = roots.iter().filter_map(|der| TrustAnchor::new(der, domain()).ok());
        let Ok(verifier) = anchors.fold(builder, |b, a| b.anchor(a)).build(now) else {
            continue;
        };
        assert!(verifier.verify(&chain, now).is_err(), "{}", case["id"]);
    }
}

fn validate(case: &Value, backend: Backend) -> Result<(), String> {
    let text = |e: webpki::Error| format!("{e:?}");
    let ours = Algorithm::all(backend);
    let algorithms = ours.each_ref().map(|a| -> &dyn SignatureVerificationAlgorithm { a });
    let roots: Vec<_> = certificates(&case["trusted_certs"]).into_iter().map(CertificateDer::from).collect();
    let anchors: Vec<_> = roots.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok()).collect();
    let intermediates: Vec<_> =
        certificates(&case["untrusted_intermediates"]).into_iter().map(CertificateDer::from).collect();
    let leaf = CertificateDer::from(certificates(&case["peer_certificate"]).remove(0));
    let leaf = EndEntityCert::try_from(&leaf).map_err(text)?;
    let time = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(time_of(case).secs()));
    let client = case["validation_kind"] == "CLIENT";
    let usage = if client { KeyUsage::client_auth() } else { KeyUsage::server_auth() };
    let crls: Vec<_> = case["crls"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|crl| pem::decode(pem::CRL, crl.as_str().unwrap()).unwrap())
        .collect();
    let cas: Vec<_> = roots.iter().chain(&intermediates).map(|der| der.to_vec()).collect();
    crls.iter().try_for_each(|crl| believed(crl, &cas, time_of(case)))?;
    let crls: Result<Vec<CertRevocationList<'_>>, String> = crls
        .iter()
        .map(|der| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from).map_err(text))
        .collect();
    let crls = crls?;
    let crls: Vec<_> = crls.iter().collect();
    let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|b| b.build());
    leaf.verify_for_usage(&algorithms, &anchors, &intermediates, time, usage, revocation, None)
        .map_err(text)?;
    match case["expected_peer_name"]["value"].as_str() {
        Some(name) if !client => {
            let name = ServerName::try_from(name).map_err(|_| "not a server name".to_owned())?;
            leaf.verify_is_valid_for_subject_name(&name).map_err(text)
        }
        _ => Ok(()),
    }
}

/// Whether a CRL is one that we take, of one of these authorities.
fn believed(crl: &[u8], cas: &[Vec<u8>], now: UnixTime) -> Result<(), String> {
    let view = CrlView::parse(crl).map_err(|e| format!("CRL: {e}"))?;
    let cas: Vec<_> = cas.iter().filter_map(|der| Issuer::from_der(der.clone()).ok()).collect();
    let issuer = cas.iter().find(|ca| view.names(ca)).ok_or("CRL: of none of the authorities")?;
    view.check(issuer, now).map_err(|e| format!("CRL: {e}"))
}

fn certificates(value: &Value) -> Vec<Vec<u8>> {
    let texts = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
    texts.iter().flat_map(|text| pem::decode(pem::CERTIFICATE, text.as_str().unwrap()).unwrap()).collect()
}

/// `YYYY-MM-DDTHH:MM:SS+00:00`, or the current time.
fn time_of(case: &Value) -> UnixTime {
    let Some(text) = case["validation_time"].as_str() else {
        return SystemClock.now();
    };
    let n = |at: std::ops::Range<usize>| text[at].parse().unwrap();
    assert!(text.ends_with("+00:00"), "{text}");
    let civil = Civil {
        year: n(0..4),
        month: n(5..7),
        day: n(8..10),
        hour: n(11..13),
        minute: n(14..16),
        second: n(17..19),
    };
    civil.to_time().unwrap()
}
