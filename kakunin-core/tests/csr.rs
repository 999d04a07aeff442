//! Requests as openssl, GnuTLS and Python's `cryptography` make them, in every form in which they are sent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use kakunin_core::key::{KeyAlgorithm, Spki};
use kakunin_core::x509::csr::{CsrError, Proven, RequestToSign};
use kakunin_core::x509::pem;
use kakunin_core::x509::published::Published;
use tempfile::TempDir;

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).current_dir(folder).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; run `make setup`"));
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn openssl(folder: &TempDir, key: &[&str], sign: &[&str]) -> Vec<u8> {
    let path = folder.path();
    run(path, "openssl", &[&["genpkey", "-out", "k"], key].concat());
    run(path, "openssl", &[&["req", "-new", "-key", "k", "-subj", "/CN=x", "-out", "csr"], sign].concat());
    std::fs::read(path.join("csr")).unwrap()
}

fn python() -> PathBuf {
    let tools = std::env::var("KAKUNIN_TOOLS").map(PathBuf::from).unwrap_or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
        cache
            .unwrap_or_else(|_| PathBuf::from(std::env::var("HOME").unwrap()).join(".cache"))
            .join("kakunin/tools")
    });
    std::env::var("KAKUNIN_PYTHON").map_or_else(|_| tools.join("venv/bin/python"), PathBuf::from)
}

const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const ED25519: &[&str] = &["-algorithm", "ED25519"];

#[test]
fn what_is_soundly_signed_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let pss = ["-sigopt", "rsa_padding_mode:pss"];
    for (key, sign) in [
        (RSA, vec!["-sha256"]),
        (RSA, vec!["-sha384"]),
        (RSA, vec!["-sha512"]),
        (RSA, [&pss[..], &["-sha256", "-sigopt", "rsa_pss_saltlen:-1"]].concat()),
        (RSA, [&pss[..], &["-sha384", "-sigopt", "rsa_pss_saltlen:-1"]].concat()),
        (RSA, [&pss[..], &["-sha512", "-sigopt", "rsa_pss_saltlen:20"]].concat()),
        (RSA, [&pss[..], &["-sha256", "-sigopt", "rsa_pss_saltlen:0"]].concat()),
        (RSA, [&pss[..], &["-sha256"]].concat()),
        (P256, vec!["-sha256"]),
        (P256, vec!["-sha384"]),
        (P256, vec!["-sha512"]),
        (ED25519, vec![]),
    ] {
        let request = openssl(&folder, key, &sign);
        let proven = Proven::read(&request).unwrap_or_else(|error| panic!("{key:?} {sign:?}: {error}"));
        // One bit of the signature, and one of what is signed.
        let der =
            pem::decode(pem::CERTIFICATE_REQUEST, &String::from_utf8(request).unwrap()).unwrap().remove(0);
        for at in [der.len() - 1, der.len() - 40, 20] {
            let mut other = der.clone();
            other[at] ^= 1;
            let refused = Proven::read(&other).unwrap_err();
            assert_ne!(refused.code(), "csr_signature_unsupported", "{key:?} {sign:?} at {at}: {refused}");
        }
        let mut other = der.clone();
        other[der.len() - 1] ^= 1;
        assert_eq!(Proven::read(&other), Err(CsrError::NotPossessed), "{key:?} {sign:?}");
        assert_eq!(Proven::read(&der).unwrap(), proven);
    }
}

#[test]
fn what_is_refused_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pss = ["-sigopt", "rsa_padding_mode:pss"];
    let ec = |curve: &'static str| vec!["-algorithm", "EC", "-pkeyopt", curve];
    for (key, sign, code, named) in [
        (RSA.to_vec(), vec!["-sha1"], "csr_signature_unsupported", "RSA with SHA-1"),
        (RSA.to_vec(), vec!["-md5"], "csr_signature_unsupported", "RSA with MD5"),
        (RSA.to_vec(), vec!["-sha224"], "csr_signature_unsupported", "RSA with SHA-224"),
        (RSA.to_vec(), vec!["-sha3-256"], "csr_signature_unsupported", "RSA with SHA3-256"),
        (RSA.to_vec(), [&pss[..], &["-sha1"]].concat(), "csr_signature_unsupported", "RSASSA-PSS with SHA-1"),
        (
            RSA.to_vec(),
            [&pss[..], &["-sha256", "-sigopt", "rsa_mgf1_md:sha1"]].concat(),
            "csr_signature_unsupported",
            "another hash in its mask",
        ),
        (P256.to_vec(), vec!["-sha1"], "csr_signature_unsupported", "ECDSA with SHA-1"),
        (ec("ec_paramgen_curve:P-384"), vec!["-sha384"], "key_unsupported", "the key is P-384"),
        (ec("ec_paramgen_curve:P-521"), vec!["-sha512"], "key_unsupported", "the key is P-521"),
        (ec("ec_paramgen_curve:secp256k1"), vec!["-sha256"], "key_unsupported", "the key is secp256k1"),
        (vec!["-algorithm", "ED448"], vec![], "key_unsupported", "the key is Ed448"),
        (vec!["-algorithm", "RSA-PSS"], vec![], "key_unsupported", "the key is RSASSA-PSS"),
        (
            vec!["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
            vec!["-sha256"],
            "key_weak",
            "the key is RSA-1024",
        ),
        (
            vec!["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_pubexp:3"],
            vec!["-sha256"],
            "key_weak",
            "RSA-2048 with another exponent",
        ),
    ] {
        let error = Proven::read(&openssl(&folder, &key, &sign)).unwrap_err();
        assert_eq!(error.code(), code, "{key:?} {sign:?}: {error}");
        assert!(error.to_string().contains(named), "{key:?} {sign:?}: {error}");
    }
}

#[test]
fn a_request_is_read_in_each_form_that_tools_write() {
    let folder = tempfile::tempdir().unwrap();
    let text = String::from_utf8(openssl(&folder, P256, &["-sha256"])).unwrap();
    let der = pem::decode(pem::CERTIFICATE_REQUEST, &text).unwrap().remove(0);
    let expected = Proven::read(&der).unwrap();
    let base64 = Base64::encode_string(&der);
    let wrapped = |width: usize, end: &str| {
        let lines: Vec<_> =
            base64.as_bytes().chunks(width).map(|l| std::str::from_utf8(l).unwrap()).collect();
        lines.join(end)
    };
    let armoured = |label: &str, body: &str, end: &str| {
        format!("-----BEGIN {label}-----{end}{body}{end}-----END {label}-----{end}")
    };
    run(folder.path(), "openssl", &["req", "-in", "csr", "-text", "-out", "text"]);
    for form in [
        text.clone(),
        std::fs::read_to_string(folder.path().join("text")).unwrap(),
        armoured("NEW CERTIFICATE REQUEST", &wrapped(64, "\n"), "\n"),
        armoured("CERTIFICATE REQUEST", &wrapped(76, "\r\n"), "\r\n"),
        armoured("NEW CERTIFICATE REQUEST", &wrapped(76, "\r\n"), "\r\n"),
        armoured("CERTIFICATE REQUEST", &base64, "\n"),
        format!("\u{feff}Subject: x\r\n\r\n{text}\n\nRegards"),
        base64.clone(),
        wrapped(64, "\n") + "\n",
        base64.trim_end_matches('=').to_owned(),
        Base64UrlUnpadded::encode_string(&der),
    ] {
        assert_eq!(Proven::read(form.as_bytes()).as_ref(), Ok(&expected), "{form}");
    }
    // What stands around it may be in any encoding.
    let latin = [b"M\xfcller\n", text.as_bytes()].concat();
    assert_eq!(Proven::read(&latin).as_ref(), Ok(&expected));

    let several = |text: &str| Proven::read(text.as_bytes()).unwrap_err();
    assert_eq!(several(&format!("{text}{text}")), CsrError::Several { blocks: 2 });
    let key = std::fs::read_to_string(folder.path().join("k")).unwrap();
    assert_eq!(several(&format!("{key}{text}")), CsrError::PrivateKey);
    assert_eq!(several(&key), CsrError::PrivateKey);
    let other = several(&armoured("CERTIFICATE", &base64, "\n"));
    assert_eq!(other, CsrError::Label("CERTIFICATE".to_owned()));
    for malformed in [
        text.replace("-----END CERTIFICATE REQUEST-----", "-----END NEW CERTIFICATE REQUEST-----"),
        text.replace("-----END CERTIFICATE REQUEST-----", ""),
        base64[..base64.len() - 8].to_owned(),
        format!("{base64}QUJD"),
        base64.replacen('M', "!", 1),
        "M".to_owned(),
        String::new(),
    ] {
        assert_eq!(several(&malformed), CsrError::Malformed, "{malformed}");
    }
}

#[test]
fn other_libraries_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("t"), "cn = x\n").unwrap();
    run(path, "certtool", &["--generate-privkey", "--key-type", "rsa", "--bits", "2048", "--outfile", "k"]);
    let request = ["--generate-request", "--load-privkey", "k", "--template", "t", "--outfile", "csr"];
    for hash in ["SHA384", "SHA512"] {
        run(path, "certtool", &[&request[..], &["--hash", hash]].concat());
        let text = std::fs::read(path.join("csr")).unwrap();
        assert!(
            String::from_utf8_lossy(&text).contains("BEGIN NEW CERTIFICATE REQUEST"),
            "as GnuTLS writes it"
        );
        assert_eq!(Proven::read(&text).unwrap().key.algorithm(), KeyAlgorithm::Rsa2048, "{hash}");
    }
    let script = "
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, padding
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, 'x')])
b = x509.CertificateSigningRequestBuilder().subject_name(name)
k = rsa.generate_private_key(65537, 3072)
for n, (h, s) in enumerate([(hashes.SHA256(), 32), (hashes.SHA384(), 48), (hashes.SHA512(), 100)]):
    pss = padding.PSS(mgf=padding.MGF1(h), salt_length=s)
    open(f'r{n}', 'wb').write(b.sign(k, h, rsa_padding=pss).public_bytes(serialization.Encoding.DER))
e = ec.generate_private_key(ec.SECP256R1())
open('r3', 'wb').write(b.sign(e, hashes.SHA512()).public_bytes(serialization.Encoding.PEM))
";
    run(path, python().to_str().unwrap(), &["-c", script]);
    for n in 0..4 {
        let request = std::fs::read(path.join(format!("r{n}"))).unwrap();
        Proven::read(&request).unwrap_or_else(|error| panic!("r{n}: {error}"));
    }
}

#[test]
fn a_request_for_an_authority_says_where_it_publishes() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "openssl", &[&["genpkey", "-out", "k"], P256].concat());
    run(folder.path(), "openssl", &["pkey", "-in", "k", "-pubout", "-outform", "DER", "-out", "spki"]);
    let spki = Spki::from_der(&std::fs::read(folder.path().join("spki")).unwrap()).unwrap();
    let published = Published::parse("https://pki.example.org/kakunin").unwrap();
    let request = RequestToSign::for_authority(&spki, &published);
    std::fs::write(folder.path().join("info"), request.to_be_signed()).unwrap();
    run(folder.path(), "openssl", &["dgst", "-sha256", "-sign", "k", "-out", "sig", "info"]);
    let signature = kakunin_core::key::Signature::new(std::fs::read(folder.path().join("sig")).unwrap());
    let der = request.assemble(&signature);
    assert_eq!(Proven::read(&der).unwrap().published, Some(published));
    std::fs::write(folder.path().join("csr"), &der).unwrap();
    run(
        folder.path(),
        "openssl",
        &["req", "-inform", "DER", "-in", "csr", "-verify", "-text", "-out", "text"],
    );
    let text = std::fs::read_to_string(folder.path().join("text")).unwrap();
    assert!(text.contains("CA Repository - URI:https://pki.example.org/kakunin"), "{text}");
    for none in ["", "http://", "ftp://a", "https://a/", "https://a b", "https://a\u{202e}", "https:///a"] {
        assert!(Published::parse(none).is_err(), "{none}");
    }
}
