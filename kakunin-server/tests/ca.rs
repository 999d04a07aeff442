//! `kakunin ca`: an offline root, the deployment under it, and the next issuing CA.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::path::Path;

use binary::{MODEL, Server, curl, kakunin, refused, run, start, start_at};
use serde_json::Value;

fn said(arguments: &[&str]) -> String {
    let done = kakunin(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A certificate of a new agent, checked by openssl against the root alone.
fn issued_below(folder: &Path, data: &Path, root: &str) -> String {
    let server = start(data, &[]);
    issued(&server, folder, data, root);
    let ca = curl(&[&format!("{}/api/v1/ca", server.url)]).1;
    ca["data"]["authorities"].as_array().unwrap().len().to_string()
}

/// Leaves `leaf.pem`, `chain.pem` and `anchor.pem` in the folder.
fn issued(server: &Server, folder: &Path, data: &Path, root: &str) {
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let bearer = format!("authorization: Bearer {}", key.trim_end());
    let post = |path: &str, body: &str| {
        let url = format!("{}{path}", server.url);
        let (status, body) = curl(&["-H", &bearer, "-H", "content-type: application/json", "-d", body, &url]);
        assert_eq!(status, "201", "{body}");
        body["data"].clone()
    };
    let agent = post("/api/v1/agents", &format!("{{\"name\":\"one\",\"model_hash\":\"{MODEL}\"}}"));
    let certify = format!("/api/v1/agents/{}/certify", agent["id"].as_str().unwrap());
    let issued = post(&certify, "{\"key_algorithm\":\"p256\"}");
    let text = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
    std::fs::write(folder.join("chain.pem"), text(&issued, "chain_pem")).unwrap();
    std::fs::write(folder.join("leaf.pem"), text(&issued, "certificate_pem")).unwrap();
    std::fs::write(folder.join("anchor.pem"), root).unwrap();
    run(
        "openssl",
        &["verify", "-x509_strict", "-CAfile", "anchor.pem", "-untrusted", "chain.pem", "leaf.pem"],
        folder,
    );
}

/// OpenSSL fetches the CRL of every CA of the chain from where the certificates say, and is content.
fn checked_by_what_openssl_fetches(server: &Server, folder: &Path) {
    let verify = ["verify", "-x509_strict", "-crl_check_all", "-crl_download"];
    let chain = ["-CAfile", "anchor.pem", "-untrusted", "chain.pem", "leaf.pem"];
    run("openssl", &[&verify[..], &chain].concat(), folder);
    let text = run("openssl", &["x509", "-in", "chain.pem", "-noout", "-text"], folder).stdout;
    let text = String::from_utf8(text).unwrap();
    let uri = |before: &str| {
        let found = text.split_once(before).and_then(|(_, after)| after.split_once("URI:"));
        found.unwrap_or_else(|| panic!("no {before}: {text}")).1.lines().next().unwrap().trim().to_owned()
    };
    let (crl, issuer) = (uri("CRL Distribution Points"), uri("CA Issuers"));
    assert!(crl.starts_with(&server.url) && issuer.starts_with(&server.url), "{crl} {issuer}");
    for (uri, file) in [(crl, "fetched.crl"), (issuer, "fetched.cer")] {
        run("curl", &["-sSf", "-o", file, &uri], folder);
    }
    run(
        "openssl",
        &["crl", "-inform", "DER", "-in", "fetched.crl", "-CAfile", "anchor.pem", "-noout"],
        folder,
    );
    // The certificate that is found there is the issuer's.
    run("openssl", &["x509", "-inform", "DER", "-in", "fetched.cer", "-out", "fetched.pem"], folder);
    run("openssl", &["verify", "-CAfile", "fetched.pem", "chain.pem"], folder);
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn every_ca_of_a_chain_says_where_its_crl_and_its_issuer_are() {
    let folder = tempfile::tempdir().unwrap();
    let (data, address) = (folder.path().join("data"), free_address());
    let text = data.display().to_string();
    let mut anchor = None;
    // The first issuing CA, its successor, and one of a tenant's own.
    for rotate in [None, Some(&[][..]), Some(&["--tenant", "default"][..])] {
        if let Some(whose) = rotate {
            said(&[&["ca", "rotate", "--data", &text], whose].concat());
        }
        let server = start_at(&data, &address, &[], &[]);
        let root = anchor.get_or_insert_with(|| {
            let chain = curl(&[&format!("{}/api/v1/ca/chain", server.url)]).1;
            let (_, root) = chain.as_str().unwrap().rsplit_once("-----BEGIN").unwrap();
            format!("-----BEGIN{root}")
        });
        issued(&server, folder.path(), &data, root);
        checked_by_what_openssl_fetches(&server, folder.path());
    }
}

#[test]
fn what_an_offline_root_signs_names_where_the_deployment_publishes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (data, root, secret, address) = (at("data"), at("offline"), at("root.secret"), free_address());
    let url = format!("http://{address}");
    let root_options = ["--root", &root, "--key-file", &secret];
    let refused = refused(&[&["ca", "init", "--public-url", "pki.example.org"], &root_options[..]].concat());
    assert!(refused.contains("http(s)://host"), "{refused}");
    let anchor = said(&[&["ca", "init", "--public-url", &url], &root_options[..]].concat());
    for _ in 0..2 {
        let request = said(&["ca", "request", "--data", &data, "--public-url", &url]);
        std::fs::write(at("request"), request).unwrap();
        let signed = said(&[&["ca", "sign-issuing"], &root_options[..], &[&at("request")]].concat());
        std::fs::write(at("signed"), signed).unwrap();
        said(&["ca", "install", "--data", &data, "--public-url", &url, &at("signed")]);
        std::fs::write(at("root.crl"), said(&[&["ca", "sign-crl"], &root_options[..]].concat())).unwrap();
        said(&["ca", "install-crl", "--data", &data, &at("root.crl")]);
        let server = start_at(Path::new(&data), &address, &[], &[]);
        issued(&server, folder.path(), Path::new(&data), &anchor);
        checked_by_what_openssl_fetches(&server, folder.path());
        // A CRL's number is a time in seconds.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
}

#[test]
fn a_root_stays_offline_from_the_first_day_to_the_next_issuing_ca() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (data, root, secret) = (at("data"), at("offline"), at("root.secret"));
    let root_options = ["--root", &root, "--key-file", &secret];
    let anchor = said(&[&["ca", "init"], &root_options[..]].concat());
    assert!(anchor.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(refused(&[&["ca", "init"], &root_options[..]].concat()).contains("a root is made once"));
    assert!(refused(&["ca", "sign-issuing", "--root", &root, "x"]).contains("cannot use"));
    for round in ["2", "3"] {
        let told = kakunin(&["ca", "request", "--data", &data]).output().unwrap().stderr;
        let first = format!(
            "kakunin: {data} holds no deployment yet: this request is for the first issuing CA of a new one\n"
        );
        assert_eq!(String::from_utf8(told).unwrap(), if round == "2" { first } else { String::new() });
        std::fs::write(at("request"), said(&["ca", "request", "--data", &data])).unwrap();
        run("openssl", &["req", "-in", "request", "-noout", "-verify"], folder.path());
        let signed = said(&[&["ca", "sign-issuing"], &root_options[..], &[&at("request")]].concat());
        std::fs::write(at("signed"), signed).unwrap();
        let installed = said(&["ca", "install", "--data", &data, &at("signed")]);
        assert!(installed.contains("issuing CA") && installed.contains("every tenant"), "{installed}");
        assert_eq!(issued_below(folder.path(), Path::new(&data), &anchor), round);
        let again = refused(&["ca", "install", "--data", &data, &at("signed")]);
        assert!(again.contains("not for the key that was requested"), "{again}");
        assert!(refused(&["ca", "rotate", "--data", &data]).contains("the root is kept offline"));
    }
    // One that is bound to a tenant is for that one, by its certificate.
    std::fs::write(at("request"), said(&["ca", "request", "--data", &data])).unwrap();
    let (of_default, request) = (["--tenant", "default"], [at("request")]);
    let bound = [&["ca", "sign-issuing"], &root_options[..], &of_default, &[request[0].as_str()]].concat();
    std::fs::write(at("signed"), said(&bound)).unwrap();
    let everybody = refused(&["ca", "install", "--data", &data, &at("signed")]);
    assert!(everybody.contains("binds this authority to the tenant default"), "{everybody}");
    let installed = said(&["ca", "install", "--data", &data, "--tenant", "default", &at("signed")]);
    assert!(installed.contains("for default") && !installed.contains("does not say so"), "{installed}");
    assert_eq!(issued_below(folder.path(), Path::new(&data), &anchor), "4");
    assert!(
        refused(&["ca", "install", "--data", &data, &at("request")]).contains("holds no issuing CA and root")
    );
}

#[test]
fn a_deployment_with_its_own_root_rotates_while_it_is_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = data.display().to_string();
    let server = start(&data, &[]);
    let chain = curl(&[&format!("{}/api/v1/ca/chain", server.url)]).1;
    let root = chain
        .as_str()
        .unwrap()
        .rsplit_once("-----BEGIN")
        .map(|(_, root)| format!("-----BEGIN{root}"))
        .unwrap();
    assert!(refused(&["ca", "rotate", "--data", &text]).contains("another process"));
    drop(server);
    for (tenant, count) in [(&[][..], "3"), (&["--tenant", "default"], "4")] {
        said(&[&["ca", "rotate", "--data", &text], tenant].concat());
        assert_eq!(issued_below(folder.path(), &data, &root), count);
    }
    assert!(refused(&["ca", "rotate", "--data", &text, "--tenant", "nobody"]).contains("no such tenant"));
}
