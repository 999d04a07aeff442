//! The SPIFFE project's Python library takes the roots of the bundle for the authorities of a trust domain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::process::Command;

use binary::start;

const SCRIPT: &str = r#"
import base64, json, sys, urllib.request
from cryptography import x509
from spiffe import TrustDomain, X509Bundle
url, = sys.argv[1:]
get = lambda path: urllib.request.urlopen(url + path).read()
bundle = json.loads(get("/api/v1/spiffe/bundle"))
assert bundle["spiffe_sequence"] > 0 and bundle["spiffe_refresh_hint"] > 0
ders = [base64.b64decode(cert) for key in bundle["keys"] if key["use"] == "x509-svid" for cert in key["x5c"]]
authorities = X509Bundle.parse_raw(TrustDomain("agents.example"), b"".join(ders)).x509_authorities
issuing, root = x509.load_pem_x509_certificates(get("/api/v1/ca/chain"))
assert authorities == {root}, authorities
issuing.verify_directly_issued_by(root)
print("the bundle is read")
"#;

#[test]
fn the_bundle_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &["--trust-domain", "agents.example"]);
    let python = std::env::var("KAKUNIN_PYTHON").unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_default();
        let tools = std::env::var("KAKUNIN_TOOLS").unwrap_or(format!("{home}/.cache/kakunin/tools"));
        format!("{tools}/venv/bin/python")
    });
    let arguments = ["-c", SCRIPT, &server.url];
    let done =
        Command::new(python).args(arguments).output().expect("`make setup` installs Python with spiffe");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && said.contains("the bundle is read"), "{said}");
}
