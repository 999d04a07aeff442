//! A gateway that hands certificates over in another form or field than the server was told: whoever runs both learns
//! it from the refusal and from one line of the log, which does not hold the certificate.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use kakunin_verify::possession::CertificateEncoding;

use crate::binary::{self, curl};

struct Told {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Told {
    fn of(gateway: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let data = folder.path().join("data").display().to_string();
        let gateway = format!("127.0.0.1={gateway}");
        let arguments = ["serve", "--data", &data, "--listen", "127.0.0.1:0", "--gateway", &gateway];
        let mut child = binary::kakunin(&arguments).stderr(Stdio::from(log)).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ready = lines.find_map(|line| line.strip_prefix("kakunin: ready at ").map(str::to_owned));
        let url = ready.unwrap().split(',').next().unwrap().to_owned();
        Self { child, url, folder }
    }

    fn auth(&self, field: &str, value: &str) -> (String, serde_json::Value) {
        let field = format!("{field}: {value}");
        let url = format!("{}/api/v1/gateway/auth", self.url);
        curl(&["-H", field.trim_end_matches(": "), "-H", "x-kakunin-action: read:mail", &url])
    }

    fn warnings(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.lines().filter(|line| line.contains("--gateway names")).map(str::to_owned).collect()
    }

    /// Those that there are once there is one: nobody who is answered waits for the log.
    fn warned(&self) -> Vec<String> {
        for _ in 0..500 {
            if self.warnings().is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        self.warnings()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn another_form_is_named_in_the_refusal_and_once_in_the_log() {
    let der = [[0x30; 400]];
    let nginx = CertificateEncoding::UrlPem.write(&der);
    let w = Told::of("caddy");
    for _ in 0..5 {
        let (status, answer) = w.auth("x-client-cert", &nginx);
        assert_eq!((status.as_str(), &answer["error"]), ("401", &"certificate_malformed".into()), "{answer}");
        let sentence = answer["message"].as_str().unwrap();
        assert!(sentence.starts_with("`x-client-cert` does not hold a certificate as base64"), "{sentence}");
        assert!(sentence.contains("--gateway") && !sentence.contains("issued again"), "{sentence}");
    }
    let said = w.warned();
    assert_eq!(said.len(), 1, "{said:?}");
    for word in ["WARN", "127.0.0.1", "x-client-cert", "\"base64\"", "escaped PEM (nginx)"] {
        assert!(said[0].contains(word), "no {word}: {}", said[0]);
    }
    assert!(!said[0].contains("MDAwMDAw") && !said[0].contains("CERTIFICATE"), "{}", said[0]);
    let metrics = curl(&[&format!("{}/metrics", w.url)]).1;
    let counted = "\nkakunin_gateway_certificates_unreadable_total 5\n";
    assert!(metrics.as_str().unwrap().contains(counted), "{metrics}");
}

/// What is base64 by accident is no certificate, either.
#[test]
fn base64_of_pem_is_no_certificate_in_base64() {
    let pem = kakunin_core::x509::pem::encode("CERTIFICATE", &[0x30; 400]);
    let w = Told::of("haproxy");
    let (_, answer) = w.auth("x-client-cert", &CertificateEncoding::Base64.write(&[pem]));
    assert!(answer["message"].as_str().unwrap().contains("--gateway"), "{answer}");
    assert!(w.warned()[0].contains("base64 of PEM"));
}

/// The right form in a field that is not looked at is no certificate, and no sign of one is an empty field.
#[test]
fn another_field_is_named_in_the_log() {
    let w = Told::of("envoy");
    assert_eq!(w.auth("x-forwarded-client-cert;", "").1["error"], "missing_cert_serial");
    assert_eq!(w.warnings(), Vec::<String>::new());
    let (status, answer) = w.auth("x-client-cert", &CertificateEncoding::Base64.write(&[[0x30; 400]]));
    assert_eq!((status.as_str(), &answer["error"]), ("401", &"missing_cert_serial".into()));
    let said = w.warned();
    for word in ["127.0.0.1", "\"x-client-cert\"", "\"x-forwarded-client-cert\"", "XFCC", "base64 (caddy"] {
        assert!(said[0].contains(word), "no {word}: {said:?}");
    }
}
