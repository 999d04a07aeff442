//! `kakunin crl-sync`: what it writes, what it refuses to, whom it trusts, what ends, and a root that is kept offline.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use binary::{curl, kakunin, refused, run, start};
use kakunin_core::x509::crl::CrlView;
use kakunin_core::x509::pem;
use kakunin_server::crl_sync;

/// A server that answers everything with what it was given last.
fn answering(answer: Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 4_096]);
            let _ = stream.read(&mut request);
            let body = answer.lock().unwrap().clone();
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    url
}

#[test]
fn only_newer_crls_of_named_cas_replace_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let fetch = |url: &str, path: &str| {
        let (status, text) = curl(&[&format!("{url}{path}")]);
        assert_eq!(status, "200", "{path}");
        text.as_str().unwrap().to_owned()
    };
    let server = start(&folder.path().join("data"), &[]);
    let other = start(&folder.path().join("other"), &[]);
    std::fs::write(at("chain.pem"), fetch(&server.url, "/api/v1/ca/chain")).unwrap();
    let good = fetch(&server.url, "/api/v1/crl/chain");
    let foreign = fetch(&other.url, "/api/v1/crl/chain");
    let (issuing, root) = good.split_at(good.rfind("-----BEGIN").unwrap());
    let answer = Arc::new(Mutex::new(String::new()));
    let url = answering(answer.clone());
    let (out, chain, ran) = (at("crls.pem"), at("chain.pem"), at("ran"));
    let exec = format!("echo x >> {ran}");
    let arguments = ["crl-sync", "--once", "--url", &url, "--out", &out, "--ca", &chain, "--exec", &exec];
    let given = |text: &str| text.clone_into(&mut answer.lock().unwrap());
    let count = || std::fs::read_to_string(&ran).unwrap_or_default().lines().count();
    for (bad, why) in [
        ("", "not CRLs"),
        ("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "not CRLs"),
        (&foreign, "not CRLs"),
        (&format!("{good}{root}"), "not CRLs"),
    ] {
        given(bad);
        let said = refused(&arguments);
        assert!(said.contains(why), "{said}");
    }
    assert!(!folder.path().join("crls.pem").exists() && count() == 0);
    // Links that somebody put where it writes: what they lead to stays as it is.
    std::fs::write(at("precious"), "mine").unwrap();
    std::os::unix::fs::symlink(at("precious"), at("crls.pem.new")).unwrap();
    std::os::unix::fs::symlink(at("precious"), at("crls.pem")).unwrap();
    // CRLs of others are left out.
    given(&format!("{foreign}{good}"));
    assert!(kakunin(&arguments).status().unwrap().success());
    assert_eq!((std::fs::read_to_string(&out).unwrap(), count()), (good.clone(), 1));
    assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "mine");
    assert!(std::fs::symlink_metadata(&out).unwrap().is_file(), "replaced, not followed");
    // The same again is no reason to run anything.
    assert!(kakunin(&arguments).status().unwrap().success());
    assert_eq!(count(), 1);
    given(issuing);
    assert!(refused(&arguments).contains("has no CRL of"));
    // One letter within the signature, two lines before the end.
    let within = issuing.rfind("-----END").unwrap() - 100;
    let letter = if &good[within..=within] == "A" { "B" } else { "A" };
    given(&format!("{}{letter}{}", &good[..within], &good[within + 1..]));
    let said = refused(&arguments);
    assert!(said.contains("its signature is not the issuer's"), "{said}");
    let admin = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
    let bearer = format!("authorization: Bearer {}", admin.trim_end());
    let post = |path: &str, body: &str| {
        let json = "content-type: application/json";
        curl(&["-H", &bearer, "-H", json, "-d", body, &format!("{}{path}", server.url)]).1["data"].clone()
    };
    let agent = format!("{{\"name\":\"one\",\"model_hash\":\"{}\"}}", binary::MODEL);
    let id = post("/api/v1/agents", &agent)["id"].as_str().unwrap().to_owned();
    let issued = post(&format!("/api/v1/agents/{id}/certify"), "{\"key_algorithm\":\"p256\"}");
    let serial = issued["serial_number"].as_str().unwrap();
    post(&format!("/api/v1/certificates/{serial}/revoke"), "{\"reason\":\"key_compromise\"}");
    let newer = fetch(&server.url, "/api/v1/crl/chain");
    given(&newer);
    assert!(kakunin(&arguments).status().unwrap().success());
    assert_eq!((std::fs::read_to_string(&out).unwrap(), count()), (newer.clone(), 2));
    given(&good);
    assert!(refused(&arguments).contains("the file has"), "an old one, replayed");
    assert_eq!((std::fs::read_to_string(&out).unwrap(), count()), (newer, 2));
    assert!(
        refused(&["crl-sync", "--once", "--url", "ftp://x", "--out", &out, "--ca", &chain]).contains("--url")
    );
    assert!(
        refused(&["crl-sync", "--once", "--url", &url, "--out", &out, "--ca", &out])
            .contains("no certificates")
    );
}

/// A CA and CRLs of openssl's making, with a key identifier and serial numbers that are not ours.
const OPENSSL_CA: &str = r#"
[ca]
default_ca = us
[us]
database = index.txt
crlnumber = number
certificate = CA.pem
private_key = ca.key
default_md = sha256
default_crl_days = 2
[req]
distinguished_name = dn
[dn]
[signs]
basicConstraints = critical, CA:true
subjectKeyIdentifier = hash
keyUsage = critical, keyCertSign, cRLSign
[certifies]
basicConstraints = critical, CA:true
subjectKeyIdentifier = hash
keyUsage = critical, keyCertSign
[full]
authorityKeyIdentifier = keyid
[delta]
authorityKeyIdentifier = keyid
deltaCRL = ASN1:INTEGER:1
[indirect]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical, @point
[point]
indirectCRL = TRUE
"#;

#[test]
fn crls_of_another_kind_or_by_a_ca_that_may_not_sign_them_do_not_replace_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let openssl = |line: &str| run("openssl", &line.split(' ').collect::<Vec<_>>(), folder.path());
    std::fs::write(at("ca.cnf"), OPENSSL_CA).unwrap();
    std::fs::write(at("number"), "01\n").unwrap();
    openssl("ecparam -name prime256v1 -genkey -noout -out ca.key");
    for ca in ["signs", "certifies"] {
        let made =
            format!("req -x509 -new -key ca.key -config ca.cnf -subj /CN=theirs -days 9 -out {ca}.pem");
        openssl(&format!("{made} -extensions {ca}"));
    }
    let answer = Arc::new(Mutex::new(String::new()));
    let url = answering(answer.clone());
    let out = at("crls.pem");
    let sync = |ca: &str, crl: &str| {
        answer.lock().unwrap().clone_from(&std::fs::read_to_string(at(crl)).unwrap());
        let ca = at(&format!("{ca}.pem"));
        let done =
            kakunin(&["crl-sync", "--once", "--url", &url, "--out", &out, "--ca", &ca]).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let crl = |name: &str, extensions: &str, revoked: &[&str]| {
        let line = |serial: &&str| format!("R\t400101000000Z\t260101000000Z\t{serial}\tunknown\t/CN=x\n");
        std::fs::write(at("index.txt"), revoked.iter().map(line).collect::<String>()).unwrap();
        openssl(&format!("ca -config ca.cnf -cert signs.pem -gencrl -crlexts {extensions} -out {name}"));
    };
    let twenty = "55".repeat(20);
    crl("good", "full", &["01", "8001", &twenty]);
    crl("delta", "delta", &["01"]);
    crl("indirect", "indirect", &["01"]);
    crl("long", "full", &["01", &"55".repeat(21)]);
    for (ca, name, why) in [
        ("certifies", "good", "does not allow it to sign CRLs"),
        ("signs", "delta", "not CRLs"),
        ("signs", "indirect", "not CRLs"),
        ("signs", "long", "not CRLs"),
    ] {
        let (done, text) = sync(ca, name);
        assert!(!done && text.contains(why), "{ca} {name}: {text}");
        assert!(!folder.path().join("crls.pem").exists());
    }
    let (done, text) = sync("signs", "good");
    assert!(done, "{text}");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), std::fs::read_to_string(at("good")).unwrap());
}

#[test]
fn the_crl_of_an_offline_root_is_brought_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let said = |arguments: &[&str]| {
        let done = kakunin(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let (data, root, secret) = (at("data"), at("offline"), at("root.secret"));
    let root_options = ["--root", &root, "--key-file", &secret];
    std::fs::write(at("root.pem"), said(&[&["ca", "init"], &root_options[..]].concat())).unwrap();
    std::fs::write(at("request"), said(&["ca", "request", "--data", &data])).unwrap();
    let signed = said(&[&["ca", "sign-issuing"], &root_options[..], &[&at("request")]].concat());
    std::fs::write(at("signed"), signed).unwrap();
    said(&["ca", "install", "--data", &data, &at("signed")]);
    std::fs::write(at("first"), said(&[&["ca", "sign-crl"], &root_options[..]].concat())).unwrap();
    // Within the same second, too, number and thisUpdate grow.
    let next = said(&[&["ca", "sign-crl", "--days", "30"], &root_options[..]].concat());
    std::fs::write(at("next"), next).unwrap();
    let [first, second] = ["first", "next"].map(|name| {
        let der = pem::decode(pem::CRL, &std::fs::read_to_string(at(name)).unwrap()).unwrap().remove(0);
        let view = CrlView::parse(&der).unwrap();
        (view.number, view.this_update)
    });
    assert!(first.0 < second.0 && first.1 < second.1, "{first:?} {second:?}");
    run("openssl", &["crl", "-in", "next", "-CAfile", "root.pem", "-noout", "-verify"], folder.path());
    assert!(said(&["ca", "install-crl", "--data", &data, &at("next")]).starts_with("CRL of root "));
    let older = refused(&["ca", "install-crl", "--data", &data, &at("first")]);
    assert!(older.contains("number of the CRL does not grow"), "{older}");
    assert!(refused(&["ca", "install-crl", "--data", &data, &at("request")]).contains("holds no CRL"));
    let server = start(&folder.path().join("data"), &[]);
    let chain = curl(&[&format!("{}/api/v1/crl/chain", server.url)]).1;
    assert!(chain.as_str().unwrap().ends_with(&std::fs::read_to_string(at("next")).unwrap()));
}

#[tokio::test]
async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = start(&at("data"), &[]);
    let chain = curl(&[&format!("{}/api/v1/ca/chain", server.url)]).1;
    std::fs::write(at("chain.pem"), chain.as_str().unwrap()).unwrap();
    let alive = at("alive");
    let options = crl_sync::Options {
        url: server.url.clone(),
        out: at("crls.pem"),
        ca: at("chain.pem"),
        tls_ca: None,
        exec: Some(format!("(while :; do echo x >> {}; sleep 0.05; done) & wait", alive.display())),
        key_file: None,
        exec_limit: Duration::from_secs(1),
        every: Duration::from_secs(1),
        once: true,
    };
    let began = Instant::now();
    let sync = tokio::spawn(async move { crl_sync::run(&options).await });
    // On the only thread that there is.
    let mut turns = 0;
    while !sync.is_finished() {
        assert!(began.elapsed() < Duration::from_secs(10), "it hangs");
        tokio::time::sleep(Duration::from_millis(20)).await;
        turns += 1;
    }
    let said = sync.await.unwrap().unwrap_err().to_string();
    assert!(said.starts_with("--exec: still running after 1 s; it was ended"), "{said}");
    assert!(turns > 10, "the runtime was blocked");
    let len = || std::fs::metadata(&alive).unwrap().len();
    let then = len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(then > 0 && len() == then, "what the command started goes on");
    assert!(at("crls.pem").exists(), "the file is there all the same");
}

/// A certificate of its own for this name, in `<file>.pem`.
fn own_certificate(folder: &Path, file: &str, name: &str) {
    let line = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {file}.key -out {file}.pem \
         -subj /CN={file} -addext subjectAltName=DNS:{name} -addext basicConstraints=critical,CA:FALSE"
    );
    run("openssl", &line.split_whitespace().collect::<Vec<_>>(), folder);
}

#[test]
fn a_server_that_tls_does_not_vouch_for_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for file in ["tls", "other"] {
        own_certificate(folder.path(), file, "localhost");
    }
    let (tls, key) = (at("tls.pem"), at("tls.key"));
    let server = start(&folder.path().join("data"), &["--tls-cert", &tls, "--tls-key", &key]);
    let named = server.url.replace("127.0.0.1", "localhost");
    assert!(named.starts_with("https://localhost:"), "{named}");
    let chain = curl(&["--cacert", &tls, &format!("{named}/api/v1/ca/chain")]).1;
    std::fs::write(at("chain.pem"), chain.as_str().unwrap()).unwrap();
    let (out, ca) = (at("crls.pem"), at("chain.pem"));
    let known = ["crl-sync", "--once", "--out", &out, "--ca", &ca, "--url"];
    std::fs::write(&out, "as it was").unwrap();
    let other = at("other.pem");
    for (url, more, why) in [
        (&named, &["--tls-ca", &other][..], "nobody who is trusted here issued it"),
        (&named, &[][..], "--tls-ca"),
        (&server.url, &["--tls-ca", &tls][..], "and not for 127.0.0.1"),
        (&named, &["--tls-ca", &key][..], "it holds a `PRIVATE KEY`"),
    ] {
        let said = refused(&[&known[..], &[url], more].concat());
        assert!(said.contains(why) && said.contains("--tls-ca"), "{said}");
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "as it was");
    }
    let done = kakunin(&[&known[..], &[&named, "--tls-ca", &tls]].concat()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("-----BEGIN X509 CRL"));
}
