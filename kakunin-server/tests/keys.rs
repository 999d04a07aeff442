//! The server with its keys in a KMS and in an HSM: what it does when they are down, and that no key of theirs
//! is to be found with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;
#[path = "../../kakunin-kms/tests/kms/mod.rs"]
mod kms;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use binary::{MODEL, Server, curl, run, start_with};
use kms::Kms;
use serde_json::{Value, json};

const ROLE: &str = "arn:aws:iam::111122223333:role/desk-7";
const AWS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "a-secret-access-key"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A server, and who may do everything there.
struct World {
    server: Server,
    bearer: String,
}

impl World {
    fn start(data: &Path, keys: &str, environment: &[(&str, &str)]) -> Self {
        let server = start_with(data, &["--keys", keys], environment);
        let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
        Self { server, bearer: format!("authorization: Bearer {}", key.trim_end()) }
    }

    fn get(&self, path: &str) -> (String, Value) {
        curl(&["-H", &self.bearer, &format!("{}{path}", self.server.url)])
    }

    fn post(&self, path: &str, body: &Value) -> (String, Value) {
        let (json, url, body) =
            ("content-type: application/json", format!("{}{path}", self.server.url), body.to_string());
        curl(&["-H", &self.bearer, "-H", json, "-d", &body, &url])
    }

    fn agent(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let agent = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
        let (status, made) = self.post("/api/v1/agents", &agent);
        assert_eq!(status, "201", "{made}");
        made["data"]["id"].as_str().unwrap().to_owned()
    }

    fn certify(&self, agent: &str, body: Value) -> Value {
        let (status, issued) = self.post(&format!("/api/v1/agents/{agent}/certify"), &body);
        assert_eq!(status, "201", "{issued}");
        issued["data"].clone()
    }

    /// Acts that the agent was not allowed, until its certificate is taken away.
    fn led_astray(&self, agent: &str) {
        let event =
            |n: u32| json!({ "agent_id": agent, "action": format!("delete:mail{n}"), "outcome": "denied" });
        for n in 0..2_000 {
            let (status, seen) = self.post("/api/v1/events", &event(n));
            if status == "422" {
                return;
            }
            assert_eq!(status, "201", "{seen}");
        }
        panic!("never revoked");
    }

    /// Waits until `path` gives what is wanted.
    fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let (status, body) = self.get(path);
            if status == "200" && wanted(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path}: {status} {body}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

fn key_url(kms: &Kms) -> String {
    let rates = "create-rate=1000&manage-rate=1000&read-rate=1000&sign-rsa-rate=1000&sign-ecc-rate=1000";
    format!("awskms:region=eu-west-1;deployment=server?endpoint=http://127.0.0.1:{}&{rates}", kms.port)
}

#[test]
fn with_a_kms_that_fails_revocation_holds_and_is_told_later() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut kms = Kms::start(folder.path());
    let w = World::start(&data, &key_url(&kms), &AWS);
    let (agent, other) = (w.agent(), w.agent());
    let certified = w.certify(&agent, json!({}));
    let arn = text(&certified, "kms_key_arn").to_owned();
    assert!(arn.starts_with("awskms:arn:aws:kms:eu-west-1:"), "{arn}");
    verified_by_openssl(folder.path(), &certified);
    // The agent's process may sign with it as whom it is in the KMS, and nothing else.
    let granted = w.post(&format!("/api/v1/agents/{agent}/grants"), &json!({ "principal": ROLE }));
    assert_eq!(
        (granted.0.as_str(), &granted.1["data"]["kms_key_arn"]),
        ("201", &json!(arn)),
        "{}",
        granted.1
    );
    let again = w.post(&format!("/api/v1/agents/{agent}/grants"), &json!({ "principal": ROLE })).1;
    assert_eq!(again["data"]["grant_id"], granted.1["data"]["grant_id"], "asked again, it is the same");
    let grants = ask_kms(&kms, "ListGrants", &json!({ "KeyId": arn.trim_start_matches("awskms:") }));
    assert_eq!(grants["Grants"].as_array().unwrap().len(), 1, "{grants}");
    assert_eq!(grants["Grants"][0]["GranteePrincipal"], ROLE, "{grants}");
    assert_eq!(grants["Grants"][0]["Operations"], json!(["Sign", "GetPublicKey"]), "{grants}");
    assert!(w.get("/api/v1/audit-log?limit=100").1.to_string().contains("key.granted"));
    // A hold ends the grant, and its release does not bring it back.
    let serial = text(&certified, "serial_number").to_owned();
    let granted = || {
        let grants = ask_kms(&kms, "ListGrants", &json!({ "KeyId": arn.trim_start_matches("awskms:") }));
        grants["Grants"].as_array().unwrap().len()
    };
    assert_eq!(w.post(&format!("/api/v1/certificates/{serial}/hold"), &json!({})).0, "200");
    let deadline = Instant::now() + Duration::from_secs(30);
    while granted() > 0 {
        assert!(Instant::now() < deadline, "the grant was never ended");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(w.post(&format!("/api/v1/certificates/{serial}/release"), &json!({})).0, "200");
    w.until("/readyz", |ready| ready["key_tasks_left"] == 0);
    assert_eq!(granted(), 0);
    // Down while one is issued: a clean refusal, on the record, and nothing half made.
    kms.down();
    let (status, refused) = w.post(&format!("/api/v1/agents/{other}/certify"), &json!({}));
    assert_eq!((status.as_str(), &refused["code"]), ("503", &json!("key_unavailable")), "{refused}");
    let records = w.get("/api/v1/audit-log?limit=100").1.to_string();
    assert!(records.contains("key.planned") && records.contains("key.abandoned"), "{records}");
    // Down while one is taken away: refused at once, and the provider is yet to be told.
    w.led_astray(&agent);
    let verify = format!("/api/v1/verify/{}", text(&certified, "serial_number"));
    let standing = w.get(&verify).1;
    assert_eq!(standing["data"]["revocation_reason"], "risk_threshold_exceeded", "{standing}");
    w.until("/readyz", |ready| {
        ready["status"] == "degraded" && ready["signing"] == false && ready["key_tasks_left"] != 0
    });
    w.until("/api/v1/notifications?limit=100", |inbox| {
        inbox.to_string().contains("Key provider cannot be reached")
    });
    // The shard says so too once there is somebody to sign it.
    let point = format!("/api/v1/crl/{}/full.crl", issuing(&w));
    assert_eq!(w.get(&point).0, "503");
    // Killed, and started while the provider is still down.
    let mut server = w.server;
    server.child.kill().unwrap();
    drop(server);
    let w = World::start(&data, &key_url(&kms), &AWS);
    assert_eq!(w.get(&verify).1["data"]["revocation_reason"], "risk_threshold_exceeded");
    kms.up();
    let deadline = Instant::now() + Duration::from_secs(90);
    while key_state(&kms, &arn) == "Enabled" {
        assert!(Instant::now() < deadline, "the key was never disabled");
        std::thread::sleep(Duration::from_millis(200));
    }
    w.until("/readyz", |ready| ready["status"] == "ok" && ready["key_tasks_left"] == 0);
    let signed = w.post(&format!("/api/v1/agents/{agent}/sign"), &json!({ "payload": { "a": 1 } }));
    assert_ne!(signed.0, "200", "{}", signed.1);
    assert_eq!(w.get(&point).0, "200");
    // What was given up is given anew.
    w.certify(&other, json!({}));
    // A key that somebody deletes behind our back.
    let agent = w.agent();
    let certified = w.certify(&agent, json!({}));
    let arn = text(&certified, "kms_key_arn").to_owned();
    ask_kms(
        &kms,
        "ScheduleKeyDeletion",
        &json!({ "KeyId": arn.trim_start_matches("awskms:"), "PendingWindowInDays": 7 }),
    );
    let (status, refused) =
        w.post(&format!("/api/v1/agents/{agent}/sign"), &json!({ "payload": { "a": 1 } }));
    assert_eq!((status.as_str(), &refused["code"]), ("503", &json!("key_refused")), "{refused}");
    let renewed = w.post(&format!("/api/v1/agents/{agent}/renew"), &json!({ "model_hash": MODEL }));
    assert_eq!(renewed.0, "201", "{}", renewed.1);
    nothing_of_a_key(folder.path(), kms, &w);
}

fn issuing(w: &World) -> String {
    let ca = w.get("/api/v1/ca").1;
    let all = ca["data"]["authorities"].as_array().unwrap().clone();
    text(all.iter().find(|ca| ca["role"] == "issuing").unwrap(), "key_id").to_owned()
}

fn verified_by_openssl(folder: &Path, certified: &Value) {
    let chain = text(certified, "chain_pem");
    let root = chain.rfind("-----BEGIN").unwrap();
    std::fs::write(folder.join("issuing.pem"), &chain[..root]).unwrap();
    std::fs::write(folder.join("root.pem"), &chain[root..]).unwrap();
    std::fs::write(folder.join("leaf.pem"), text(certified, "certificate_pem")).unwrap();
    let verify = ["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "leaf.pem"];
    run("openssl", &verify, folder);
}

fn ask_kms(kms: &Kms, operation: &str, body: &Value) -> Value {
    let target = format!("X-Amz-Target: TrentService.{operation}");
    let scope = "Credential=test/20260101/eu-west-1/kms/aws4_request";
    let authorization = format!("Authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
    let (kind, url) = ("Content-Type: application/x-amz-json-1.1", format!("http://127.0.0.1:{}/", kms.port));
    let (status, answer) =
        curl(&["-H", &target, "-H", &authorization, "-H", kind, "-d", &body.to_string(), &url]);
    assert_eq!(status, "200", "{answer}");
    answer
}

fn key_state(kms: &Kms, reference: &str) -> String {
    let key = json!({ "KeyId": reference.trim_start_matches("awskms:") });
    text(&ask_kms(kms, "DescribeKey", &key)["KeyMetadata"], "KeyState").to_owned()
}

/// Takes the private keys out of the KMS, and looks for them in everything else there is.
fn nothing_of_a_key(folder: &Path, mut kms: Kms, w: &World) {
    let mut haystack = Vec::new();
    for path in
        ["/api/v1/agents?limit=100", "/api/v1/audit-log?limit=100", "/api/v1/ca", "/readyz", "/metrics"]
    {
        let (status, body) = w.get(path);
        assert_eq!(status, "200", "{path}: {body}");
        haystack.extend(body.to_string().into_bytes());
    }
    kms.down();
    haystack.extend(octets_below(&folder.join("data")));
    let state = octets_below(&folder.join("kms"));
    let state = String::from_utf8_lossy(&state).into_owned();
    let mut keys = 0;
    for blob in state.split('"').filter(|text| text.starts_with("LS0tLS1CRUdJTi")) {
        std::fs::write(folder.join("key.b64"), blob).unwrap();
        let pem = run("openssl", &["base64", "-d", "-A", "-in", "key.b64"], folder).stdout;
        if !String::from_utf8_lossy(&pem).contains("PRIVATE KEY") {
            continue;
        }
        std::fs::write(folder.join("key.pem"), pem).unwrap();
        let text = run("openssl", &["pkey", "-in", "key.pem", "-noout", "-text"], folder).stdout;
        for secret in secrets(&String::from_utf8_lossy(&text)) {
            keys += 1;
            for form in forms(&secret) {
                let found = haystack.windows(form.len()).any(|w| w == form);
                assert!(!found, "a part of a private key is outside the KMS");
            }
        }
    }
    assert!(keys >= 4, "{keys} keys were looked for");
    for word in ["a-secret-access-key", "-----BEGIN PRIVATE KEY", "-----BEGIN RSA PRIVATE"] {
        assert!(!haystack.windows(word.len()).any(|w| w == word.as_bytes()), "{word}");
    }
}

fn octets_below(folder: &Path) -> Vec<u8> {
    let mut octets = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            octets.extend(octets_below(&entry.path()));
        } else {
            octets.extend(std::fs::read(entry.path()).unwrap());
        }
    }
    octets
}

/// The private numbers of `openssl pkey -text`: the exponent and one prime, or the one number of a curve.
fn secrets(text: &str) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        if line.starts_with(' ') {
            if let Some(hex) = &mut current {
                hex.push_str(&line.trim().replace(':', ""));
            }
            continue;
        }
        let wanted = ["privateExponent:", "prime1:", "priv:"].contains(&line.trim());
        all.extend(std::mem::replace(&mut current, wanted.then(String::new)));
    }
    all.extend(current);
    let octets = |hex: String| -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        let octets = pairs.map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap());
        octets.skip_while(|o| *o == 0).collect()
    };
    all.into_iter().map(octets).collect()
}

/// How sixteen octets in the middle of a secret may be written.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    assert!(secret.len() >= 31);
    let part = &secret[8..24];
    let hex: String = part.iter().map(|o| format!("{o:02x}")).collect();
    let mut forms = vec![part.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    // Base64 in each of its three alignments, less the ends that depend on what is around.
    for skip in 0..3 {
        use base64ct::{Base64Unpadded, Encoding};
        let whole = &part[skip..skip + 12];
        forms.push(Base64Unpadded::encode_string(whole).into_bytes());
    }
    forms
}

/// A token of its own, and the environment that shows it.
struct Hsm {
    conf: String,
    module: PathBuf,
    pin: PathBuf,
}

impl Hsm {
    fn new(folder: &Path) -> Self {
        let module = std::env::var_os("KAKUNIN_PKCS11_MODULE").map(PathBuf::from);
        let module = module.unwrap_or_else(|| PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"));
        assert!(module.exists(), "{} is missing; run: make setup", module.display());
        std::fs::create_dir(folder.join("tokens")).unwrap();
        let conf = folder.join("softhsm2.conf");
        let tokens =
            format!("directories.tokendir = {}/tokens\nobjectstore.backend = file\n", folder.display());
        std::fs::write(&conf, tokens).unwrap();
        let pin = folder.join("pin");
        std::fs::write(&pin, "271828\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&pin, private).unwrap();
        let hsm = Self { conf: conf.display().to_string(), module, pin };
        let token =
            ["--init-token", "--free", "--label", "kakunin", "--so-pin", "12345678", "--pin", "271828"];
        let made =
            Command::new("softhsm2-util").args(token).env("SOFTHSM2_CONF", &hsm.conf).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        hsm
    }

    fn url(&self) -> String {
        let (module, pin) = (self.module.display(), self.pin.display());
        format!("pkcs11:token=kakunin?module-path={module}&pin-source=file:{pin}&x-sessions=4")
    }
}

#[test]
fn openssl_and_curl_do_mutual_tls_with_the_key_in_the_hsm() {
    let folder = tempfile::tempdir().unwrap();
    let hsm = Hsm::new(folder.path());
    let data = folder.path().join("data");
    let w = World::start(&data, &hsm.url(), &[("SOFTHSM2_CONF", &hsm.conf)]);
    for algorithm in ["rsa-2048", "p256"] {
        let agent = w.agent();
        let certified = w.certify(&agent, json!({ "key_algorithm": algorithm }));
        verified_by_openssl(folder.path(), &certified);
        let chain = text(&certified, "certificate_pem").to_owned() + text(&certified, "chain_pem");
        std::fs::write(folder.path().join("agent.pem"), chain).unwrap();
        let id = text(&certified, "kms_key_arn").trim_start_matches("pkcs11:").to_owned();
        let octets: String =
            id.as_bytes().chunks(2).map(|p| format!("%{}", String::from_utf8_lossy(p))).collect();
        let key = format!("pkcs11:token=kakunin;id={octets};type=private");
        mutual_tls(folder.path(), &hsm, &key);
    }
}

/// A TLS server of openssl's that demands a certificate, and curl with the key that never leaves the token.
fn mutual_tls(folder: &Path, hsm: &Hsm, key: &str) {
    let engine = format!(
        "openssl_conf = init\n[init]\nengines = eng\n[eng]\npkcs11 = p11\n[p11]\nengine_id = pkcs11\n\
         MODULE_PATH = {}\nPIN = 271828\ninit = 0\n",
        hsm.module.display()
    );
    std::fs::write(folder.join("engine.cnf"), engine).unwrap();
    let request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "tls.key", "-out", "tls.pem"];
    let name = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    run("openssl", &[&request[..], &name[..]].concat(), folder);
    let port = kms::free_port().to_string();
    let serve = ["s_server", "-accept", &port, "-cert", "tls.pem", "-key", "tls.key", "-CAfile", "root.pem"];
    let mut server = Command::new("openssl")
        .args(serve)
        .args(["-Verify", "3", "-verify_return_error", "-www", "-quiet"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked = |more: &[&str]| {
        let url = format!("https://localhost:{port}/");
        let done = Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                "--cacert",
                "tls.pem",
                "-o",
                "page",
                "-w",
                "%{http_code}",
                &url,
            ])
            .args(more)
            .current_dir(folder)
            .envs([("SOFTHSM2_CONF", hsm.conf.as_str()), ("OPENSSL_CONF", "engine.cnf")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        (String::from_utf8_lossy(&done.stdout).into_owned(), said)
    };
    let with = asked(&["--engine", "pkcs11", "--key-type", "ENG", "--key", key, "--cert", "agent.pem"]);
    let without = asked(&[]);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(with.0, "200", "{}; is libengine-pkcs11-openssl there? run: make setup", with.1);
    assert_ne!(without.0, "200");
}
