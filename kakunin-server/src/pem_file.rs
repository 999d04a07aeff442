//! Files with certificates and keys, PEM; and what is said of one that holds something else.

use std::path::Path;

use kakunin_core::x509::pem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates in a file.
///
/// # Errors
/// A sentence of what it holds, and what to do.
pub(crate) fn certificates(path: &Path, octets: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(octets).collect();
    let all = all.ok().filter(|all| !all.is_empty());
    all.ok_or_else(|| instead(path, octets, pem::CERTIFICATE))
}

/// The private key in a file.
///
/// # Errors
/// As those of [`certificates`].
pub(crate) fn private_key(path: &Path, octets: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // One that is encrypted in the old way looks like any other, but for a header that parsers pass over.
    let key = if is_encrypted(octets) { None } else { PrivateKeyDer::from_pem_slice(octets).ok() };
    key.ok_or_else(|| instead(path, octets, KEY))
}

/// Label of keys.
const KEY: &str = "PRIVATE KEY";

fn is_encrypted(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets);
    text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
}

/// What a file holds in place of PEM with this label, and what to do.
pub(crate) fn instead(path: &Path, octets: &[u8], label: &str) -> String {
    let shown = path.display();
    let text = String::from_utf8_lossy(octets);
    let labels: Vec<_> = text
        .split("-----BEGIN ")
        .skip(1)
        .filter_map(|rest| rest.split_once("-----").map(|(found, _)| found))
        .filter(|found| found.len() <= 40 && found.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' '))
        .collect();
    if octets.trim_ascii().is_empty() {
        return format!("it is empty; put a `{label}` in it, PEM");
    }
    if label == KEY && is_encrypted(octets) {
        return format!(
            "its private key is encrypted; decrypt it with `openssl pkey -in {shown} -out NEW`, and name NEW, readable for its owner alone"
        );
    }
    if labels.iter().any(|found| found.ends_with(label)) {
        return format!(
            "its `{label}` is damaged: between BEGIN and END lines stands no base64 of one; copy it again"
        );
    }
    if let Some(found) = labels.first() {
        return format!("it holds a `{found}`; name the file with the `{label}`");
    }
    if octets.first() != Some(&0x30) {
        return format!("it is no PEM; name a file with `-----BEGIN {label}-----`");
    }
    // PKCS#12 begins with its version, 3.
    if octets.get(2..8).is_some_and(|head| head.windows(3).any(|part| part == [2, 1, 3])) {
        return format!(
            "it is PKCS#12, not PEM; take it apart with `openssl pkcs12 -in {shown} -nodes -out NEW`"
        );
    }
    let command = match label {
        KEY => "pkey",
        pem::CRL => "crl",
        pem::CERTIFICATE_REQUEST => "req",
        _ => "x509",
    };
    format!(
        "it is DER, not PEM; convert it with `openssl {command} -inform DER -in {shown} -out NEW`, and name NEW"
    )
}
