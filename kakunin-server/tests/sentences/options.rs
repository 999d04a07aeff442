//! Options and the file of them.

use crate::binary::kakunin;
use crate::words::{files, refused};

#[test]
fn options_say_what_was_given_and_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let data = at("data");
    let serve = ["serve", "--data", data.as_str(), "--listen", "127.0.0.1:0"];
    let with = |more: &[&str]| refused(&[&serve[..], more].concat());
    for (more, said) in [
        (&["--tls-cert", "x"][..], &["--tls-key", "--tls-cert"][..]),
        (&["--client-certificates"], &["--tls-cert"]),
        (&["--renewal-grace", "5m"], &["`5m`", "seconds", "such as 300"]),
        (&["--renewal-grace", "-1"], &["-1"]),
        (&["--feed-subscribers", "many"], &["`many`", "whole number"]),
        (&["--feed-subscribers-per-address", "1.5"], &["`1.5`", "whole number"]),
        (&["--key-rate", "0"], &["`0`", "from 1 on"]),
        (&["--keep-alive", "99999999999"], &["`99999999999`", "whole number"]),
        (&["--log-level", "loud"], &["--log-level", "`loud`", "error, warn, info or debug"]),
        (&["--keys", "bogus"], &["--keys", "`local:`"]),
        (&["--keys", "pkcs11:token=T?colour=red"], &["--keys", "`colour`", "it has"]),
        (&["--public-url", "ca.example"], &["--public-url", "`ca.example`", "http(s)://host"]),
        (&["--trust-domain", "Agents Example"], &["`Agents Example`"]),
        (&["--ca-algorithm", "ed25519"], &["--ca-algorithm", "rsa-2048"]),
        (&["--gateway", "10.0.0.1=apache"], &["10.0.0.1=apache", "nginx"]),
        (&["--trusted-proxy", "ten"], &["'ten'", "10.0.0.0/8"]),
        (&["--authority", "a b"], &["'a b'", "api.example.org"]),
        (&["--key-file", "/nowhere/key"], &["/nowhere/key"]),
        (&["--config", &at("type.toml")], &["type.toml line 2", "`listen`", "the number 8080"]),
        (&["--config", &at("member.toml")], &["member.toml line 2", "`listen-at` is not known", "`listen`"]),
        (&["--config", &at("value.toml")], &["value.toml line 2", "`trusted-proxy`", "`ten`", "10.0.0.0/8"]),
        (&["--config", &at("syntax.toml")], &["syntax.toml line 2"]),
        (&["--config", &at("gone.toml")], &["--config", "gone.toml", "No such file"]),
    ] {
        let said_of = with(more);
        for part in said {
            assert!(said_of.contains(part), "`{part}`, of {more:?}: {said_of}");
        }
    }
    let listen = refused(&["serve", "--data", &data, "--listen", "8080"]);
    assert!(listen.contains("`8080`") && listen.contains("127.0.0.1:8080"), "{listen}");
    let (der, one, text) = (at("cert.der"), at("one.pem"), at("text"));
    let (root, secret, out) = (at("root"), at("root.secret"), at("out"));
    let root_options = ["--root", root.as_str(), "--key-file", secret.as_str()];
    assert!(kakunin(&[&["ca", "init"], &root_options[..]].concat()).output().unwrap().status.success());
    let ca = |command: &str, more: &[&str]| refused(&[&["ca", command], &root_options[..], more].concat());
    let sync = |more: &[&str]| refused(&[&["crl-sync", "--once", "--out", &out], more].concat());
    let monitor = |more: &[&str]| refused(&[&["monitor", "--url", "https://localhost:1"], more].concat());
    let known = at("root/root.pem");
    for (said_of, parts) in [
        (ca("sign-issuing", &[&der]), &["cert.der: ", "PKCS#10"][..]),
        (ca("sign-issuing", &[&one]), &["one.pem: ", "`CERTIFICATE`", "BEGIN CERTIFICATE REQUEST"]),
        (ca("sign-issuing", &[&at("gone")]), &["gone", "No such file"]),
        (ca("sign-crl", &["--days", "0"]), &["`0`", "1 to 3650"]),
        (ca("sign-crl", &["--days", "many"]), &["`many`", "1 to 3650"]),
        (
            refused(&["ca", "install", "--data", &data, &one]),
            &["one.pem", "1 certificate", "issuing CA and root"],
        ),
        (refused(&["ca", "install", "--data", &data, &der]), &["cert.der", "is DER", "openssl x509"]),
        (
            refused(&["ca", "install-crl", "--data", &data, &one]),
            &["one.pem", "`X509 CRL`", "holds a `CERTIFICATE`"],
        ),
        (sync(&["--url", "ftp://x", "--ca", &known]), &["--url", "`ftp://x`", "http://HOST"]),
        (sync(&["--url", "https://localhost:1", "--ca", &der]), &["--ca", "cert.der", "is DER"]),
        (
            sync(&["--url", "https://localhost:1", "--ca", &known, "--tls-ca", &text]),
            &["--tls-ca", "text", "is no PEM"],
        ),
        (sync(&["--url", "https://localhost:1", "--ca", &known, "--every", "0"]), &["`0`", "1 to 86400"]),
        (
            sync(&["--url", "https://localhost:1", "--ca", &known, "--key-file", &at("gone")]),
            &["--key-file", "gone"],
        ),
        (sync(&["--url", "https://localhost:1", "--ca", &one]), &["--ca", "one.pem", "certificate 1"]),
        (monitor(&["--key-file", &at("gone")]), &["--key-file", "gone", "No such file"]),
        (monitor(&["--key-file", &at("empty")]), &["--key-file", "empty", "no API key"]),
        (monitor(&["--key-file", &text, "--ca", &der]), &["--ca", "cert.der", "is DER"]),
        (monitor(&["--key-file", &text, "--bound", "a minute"]), &["`a minute`", "seconds"]),
        (monitor(&["--key-file", &text, "--every", "x"]), &["`x`", "seconds"]),
    ] {
        for part in parts {
            assert!(said_of.contains(part), "`{part}`: {said_of}");
        }
    }
}
