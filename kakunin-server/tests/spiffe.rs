//! The SPIFFE project's Python library takes the roots of the bundle for the authorities of a trust domain, and an
//! agent's certificate for an SVID.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::process::Command;

use binary::{MODEL, curl, run, start};
use serde_json::{Value, json};

const SCRIPT: &str = r#"
import base64, json, sys, urllib.request
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from spiffe import TrustDomain, X509Bundle, X509Svid
url, chain, key = sys.argv[1:]
get = lambda path: urllib.request.urlopen(url + path).read()
bundle = json.loads(get("/api/v1/spiffe/bundle"))
assert bundle["spiffe_sequence"] > 0 and bundle["spiffe_refresh_hint"] > 0
ders = [base64.b64decode(cert) for key in bundle["keys"] if key["use"] == "x509-svid" for cert in key["x5c"]]
authorities = X509Bundle.parse_raw(TrustDomain("agents.example"), b"".join(ders)).x509_authorities
issuing, root = x509.load_pem_x509_certificates(get("/api/v1/ca/chain"))
assert authorities == {root}, authorities
issuing.verify_directly_issued_by(root)
svid = X509Svid.load(chain, key, serialization.Encoding.PEM)
assert str(svid.spiffe_id).startswith("spiffe://agents.example/tenant/default/env/"), svid.spiffe_id
print("bundle and SVID are read")
"#;

#[test]
fn bundle_and_svid_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &["--trust-domain", "agents.example"]);
    let python = std::env::var("KAKUNIN_PYTHON").unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_default();
        let tools = std::env::var("KAKUNIN_TOOLS").unwrap_or(format!("{home}/.cache/kakunin/tools"));
        format!("{tools}/venv/bin/python")
    });
    let line = "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=x";
    run("openssl", &line.split(' ').collect::<Vec<_>>(), folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let admin = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let bearer = format!("authorization: Bearer {}", admin.trim_end());
    let post = |path: &str, body: Value| {
        let url = format!("{}/api/v1/agents{path}", server.url);
        curl(&["-H", &bearer, "-H", "content-type: application/json", "-d", &body.to_string(), &url]).1
    };
    let agent = post("", json!({ "name": "one", "model_hash": MODEL, "scope": ["read:mail"] }));
    let path = format!("/{}/certify", agent["data"]["id"].as_str().unwrap());
    let issued = post(&path, json!({ "csr": std::fs::read_to_string(at("request.pem")).unwrap() }));
    let text = |name: &str| issued["data"][name].as_str().unwrap().to_owned();
    std::fs::write(at("chain.pem"), text("certificate_pem") + &text("chain_pem")).unwrap();
    let arguments = ["-c", SCRIPT, &server.url, &at("chain.pem"), &at("key.pem")];
    let done =
        Command::new(python).args(arguments).output().expect("`make setup` installs Python with spiffe");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && said.contains("bundle and SVID are read"), "{said}");
}
