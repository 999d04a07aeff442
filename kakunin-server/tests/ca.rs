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

use binary::{MODEL, curl, kakunin, refused, run, start};
use serde_json::Value;

fn said(arguments: &[&str]) -> String {
    let done = kakunin(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A certificate of a new agent, checked by openssl against the root alone.
fn issued_below(folder: &Path, data: &Path, root: &str) -> String {
    let server = start(data, &[]);
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
    let ca = curl(&[&format!("{}/api/v1/ca", server.url)]).1;
    ca["data"]["authorities"].as_array().unwrap().len().to_string()
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
