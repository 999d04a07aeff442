//! What anybody may fetch, as others read it.

use std::process::{Command, Stdio};

use axum::http::Method;
use serde_json::json;

use crate::agents::{certified, registered};
use crate::common::world;

#[tokio::test]
async fn public_answers_may_be_kept_five_seconds_and_change_at_once_here() {
    let w = world().await;
    let (_, serial) = certified(&w.admin, "<b>one</b>").await;
    let anybody = w.admin.without_key();
    let colons: Vec<_> =
        serial.to_lowercase().as_bytes().chunks(2).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
    let first = anybody.get(&format!("/api/v1/verify/{}", colons.join(":"))).await.unwrap();
    assert_eq!((first.text("status"), &first.data()["valid"]), ("active".to_owned(), &json!(true)));
    assert_eq!(first.headers["cache-control"], "public, max-age=5");
    let page = [("accept", "text/html,application/xhtml+xml")];
    let html =
        anybody.send(Method::GET, &format!("/api/v1/verify/{serial}"), &page, Vec::new()).await.unwrap();
    let text = String::from_utf8(html.body.to_vec()).unwrap();
    assert!(text.contains("&lt;b&gt;one") && !text.contains("<b>one"), "{text}");
    assert!(html.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    for step in ["hold", "release", "hold"] {
        w.admin.post(&format!("/api/v1/certificates/{serial}/{step}"), &json!({})).await.unwrap();
        let expected = if step == "hold" { "suspended" } else { "active" };
        let now = anybody.get(&format!("/api/v1/verify/{serial}")).await.unwrap();
        assert_eq!(now.text("status"), expected);
        let no_key =
            anybody.send(Method::HEAD, &format!("/api/v1/verify/{serial}"), &[], Vec::new()).await.unwrap();
        assert_eq!(no_key.status, 200);
    }
    w.admin
        .post(&format!("/api/v1/certificates/{serial}/revoke"), &json!({ "reason": "regulatory_order" }))
        .await
        .unwrap();
    let last = anybody.get(&format!("/api/v1/verify/{serial}")).await.unwrap();
    assert_eq!(
        (last.text("status"), last.text("revocation_reason")),
        ("revoked".into(), "regulatory_order".into())
    );
}

fn openssl(args: &[&str], stdin: &[u8]) -> (bool, String) {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed by `make setup`");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin).unwrap();
    let out = child.wait_with_output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

#[tokio::test]
async fn openssl_checks_what_relying_parties_fetch() {
    let w = world().await;
    let id = registered(&w.admin, "one").await;
    let issued = w.admin.post(&format!("/api/v1/agents/{id}/certify"), &json!({})).await.unwrap();
    let (pem, serial) = (issued.text("certificate_pem"), issued.text("serial_number"));
    let anybody = w.admin.without_key();
    let file = |name: &str, content: &[u8]| {
        let path = w.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let chain = anybody.get("/api/v1/ca/chain").await.unwrap().body;
    let (leaf, chain_file) = (file("leaf.pem", pem.as_bytes()), file("chain.pem", &chain));
    let (_, text) =
        openssl(&["x509", "-noout", "-ext", "crlDistributionPoints,authorityInfoAccess"], pem.as_bytes());
    let uris: Vec<_> = text.split("URI:").skip(1).map(|t| t.split_whitespace().next().unwrap()).collect();
    let (crl_uri, ca_uri) = (uris[0].strip_prefix(&w.url).unwrap(), uris[1].strip_prefix(&w.url).unwrap());
    let ca = anybody.get(ca_uri).await.unwrap();
    assert_eq!(ca.headers["content-type"], "application/pkix-cert");
    assert!(openssl(&["x509", "-inform", "DER", "-noout", "-subject"], &ca.body).1.contains("issuing CA"));
    let verified = || async {
        let crl = anybody.get(crl_uri).await.unwrap();
        assert_eq!(crl.headers["content-type"], "application/pkix-crl");
        let (ok, crl) = openssl(&["crl", "-inform", "DER"], &crl.body);
        assert!(ok, "{crl}");
        let crl = file("crl.pem", crl.as_bytes());
        openssl(&["verify", "-CAfile", &chain_file, "-crl_check", "-CRLfile", &crl, &leaf], b"")
    };
    assert!(verified().await.0, "{}", verified().await.1);

    let payload = json!({ "payload": { "b": 1.0, "a": "x" } });
    let signed = w.admin.post(&format!("/api/v1/agents/{id}/sign"), &payload).await.unwrap();
    assert_eq!(
        (signed.status.as_u16(), signed.text("algorithm")),
        (200, "RSASSA_PKCS1_V1_5_SHA_256".to_owned())
    );
    let public = file("pub.pem", openssl(&["x509", "-noout", "-pubkey"], pem.as_bytes()).1.as_bytes());
    let message = file("message", br#"{"a":"x","b":1}"#);
    let decode = |text: String| openssl_base64(&text);
    let signature = file("sig", &decode(signed.text("signature")));
    let (ok, text) =
        openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &signature, &message], b"");
    assert!(ok, "{text}");

    let halted = w
        .admin
        .post(&format!("/api/v1/agents/{id}/halt"), &json!({ "reason": "regulatory_order" }))
        .await
        .unwrap();
    let receipt = halted.data()["halt_receipt"].clone();
    let text = |name: &str| receipt[name].as_str().unwrap().to_owned();
    let line = format!("{id}:{serial}:{}:{}", text("halted_at"), text("halt_event_id"));
    let ca_key = file("ca.pem", openssl(&["x509", "-noout", "-pubkey"], &chain).1.as_bytes());
    let (line, signature) =
        (file("line", line.as_bytes()), file("receipt", &decode(text("receipt_signature"))));
    let (ok, said) = openssl(&["dgst", "-sha256", "-verify", &ca_key, "-signature", &signature, &line], b"");
    assert!(ok, "{said}");
    let (ok, said) = verified().await;
    assert!(!ok && said.contains("error 23"), "{said}");

    let pem_crl = anybody.get("/api/v1/crl").await.unwrap();
    assert_eq!(pem_crl.headers["content-type"], "application/x-pem-file");
    assert!(openssl(&["crl", "-noout", "-text"], &pem_crl.body).1.contains(&serial));
    let etag = pem_crl.headers["etag"].to_str().unwrap();
    let unchanged =
        anybody.send(Method::GET, "/api/v1/crl", &[("if-none-match", etag)], Vec::new()).await.unwrap();
    assert_eq!(unchanged.status, 304);
}

fn openssl_base64(text: &str) -> Vec<u8> {
    use base64ct::{Base64, Encoding};
    Base64::decode_vec(text).unwrap()
}

#[tokio::test]
async fn the_bundle_holds_the_root() {
    let w = world().await;
    let bundle = w.admin.without_key().get("/api/v1/spiffe/bundle").await.unwrap().json();
    let key = &bundle["keys"][0];
    assert_eq!((&key["use"], &key["kty"], &key["e"]), (&json!("x509-svid"), &json!("RSA"), &json!("AQAB")));
    let authorities = w.admin.get("/api/v1/ca").await.unwrap().data();
    let pem = authorities["authorities"][0]["certificate_pem"].as_str().unwrap();
    assert!(pem.replace('\n', "").contains(key["x5c"][0].as_str().unwrap()));
}

#[test]
fn the_description_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let now = format!("{:#}\n", kakunin_server::http::openapi());
    assert!(
        written == now,
        "the API changed: run `cargo run -p kakunin-server -- openapi > kakunin-server/openapi.json`"
    );
}
