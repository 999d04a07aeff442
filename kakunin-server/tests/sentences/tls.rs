//! Files of TLS.

use std::os::unix::fs::PermissionsExt;

use crate::binary::{curl, run, start};
use crate::words::{files, refused};

#[test]
fn files_of_tls_are_named_with_what_they_hold_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let data = at("data");
    for (certificate, key, said) in [
        ("cert.der", "one.key", &["--tls-cert", "cert.der", "is DER", "openssl x509 -inform DER -in"][..]),
        ("one.pem", "key.der", &["--tls-key", "key.der", "is DER", "openssl pkey -inform DER -in"]),
        ("one.pem", "encrypted.key", &["--tls-key", "encrypted.key", "is encrypted", "openssl pkey -in"]),
        ("one.pem", "old.key", &["--tls-key", "old.key", "is encrypted", "openssl pkey -in"]),
        ("one.pem", "other.key", &["one.pem", "other.key", "does not belong to"]),
        ("one.key", "one.key", &["--tls-cert", "one.key", "holds a `PRIVATE KEY`", "`CERTIFICATE`"]),
        ("one.pem", "one.pem", &["--tls-key", "one.pem", "holds a `CERTIFICATE`", "`PRIVATE KEY`"]),
        ("empty", "one.key", &["--tls-cert", "empty", "is empty"]),
        ("text", "one.key", &["--tls-cert", "text", "is no PEM", "-----BEGIN CERTIFICATE-----"]),
        ("damaged.pem", "one.key", &["--tls-cert", "damaged.pem", "is damaged", "copy it again"]),
        ("both.p12", "one.key", &["--tls-cert", "both.p12", "PKCS#12", "openssl pkcs12 -in"]),
        ("gone.pem", "one.key", &["--tls-cert", "gone.pem", "No such file"]),
        ("one.pem", "gone.key", &["--tls-key", "gone.key", "No such file"]),
    ] {
        let said_of = refused(&[
            "serve",
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
            "--tls-cert",
            &at(certificate),
            "--tls-key",
            &at(key),
        ]);
        for part in said {
            assert!(said_of.contains(part), "`{part}`, of {certificate} and {key}: {said_of}");
        }
    }
    // What is told to do helps.
    let mut fixed = at("encrypted.key");
    run(
        "openssl",
        &["pkey", "-in", &fixed, "-passin", "pass:secret", "-out", &at("plain.key")],
        folder.path(),
    );
    fixed = at("plain.key");
    std::fs::set_permissions(&fixed, std::fs::Permissions::from_mode(0o600)).unwrap();
    let tls = ["--tls-cert", &at("one.pem"), "--tls-key", &fixed].map(str::to_owned);
    let server = start(&folder.path().join("data"), &tls.each_ref().map(String::as_str));
    assert!(server.url.starts_with("https://"));
    // And who does not trust it, or speaks TLS where there is none, is told so.
    let plain = start(&folder.path().join("plain"), &[]);
    let key_file = at("plain/admin.key");
    let (port, plain_port) = (server.url.rsplit(':').next().unwrap(), plain.url.rsplit(':').next().unwrap());
    let chain = curl(&[&format!("{}/api/v1/ca/chain", plain.url)]).1;
    std::fs::write(at("chain.pem"), chain.as_str().unwrap()).unwrap();
    for (url, ca, part) in [
        (format!("https://localhost:{port}"), "other.pem", "nobody who is trusted here issued it"),
        (format!("https://127.0.0.1:{port}"), "one.pem", "it is for localhost, and not for 127.0.0.1"),
        (format!("https://localhost:{plain_port}"), "one.pem", "speaks no TLS"),
        ("https://localhost:1".to_owned(), "one.pem", "Connection refused"),
    ] {
        let monitor = refused(&["monitor", "--url", &url, "--key-file", &key_file, "--ca", &at(ca)]);
        assert!(monitor.contains(part) && monitor.contains(&url), "{monitor}");
        let sync = refused(&[
            "crl-sync",
            "--once",
            "--url",
            &url,
            "--out",
            &at("crls"),
            "--ca",
            &at("chain.pem"),
            "--tls-ca",
            &at(ca),
        ]);
        assert!(sync.contains(part) && sync.contains(&url), "{sync}");
    }
}
