//! The real binary under libfaketime: near and after the end of its CAs, and after a clock that was ahead was put right.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use binary::{MODEL, Server, curl, faketime, kakunin, off, run, start, start_with};
use serde_json::{Value, json};

fn start_off(data: &Path, by: &str) -> Server {
    start_off_with(data, by, &[])
}

/// Where nobody was for years.
fn start_years_later(data: &Path, by: &str) -> Server {
    start_off_with(data, by, &["--believe-clock"])
}

fn start_off_with(data: &Path, by: &str, flags: &[&str]) -> Server {
    let environment = off(by);
    let environment: Vec<_> = environment.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    start_with(data, flags, &environment)
}

fn command_off(by: &str, arguments: &[&str]) -> Output {
    kakunin(arguments).envs(off(by)).output().unwrap()
}

fn said_off(by: &str, arguments: &[&str]) -> String {
    let done = command_off(by, arguments);
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// What a process says in its log within its first seconds.
fn log_off(data: &Path, by: &str) -> String {
    let data = data.display().to_string();
    let arguments = ["3", env!("CARGO_BIN_EXE_kakunin"), "serve", "--data", &data, "--listen", "127.0.0.1:0"];
    let done = Command::new("timeout").args(arguments).envs(off(by)).output().unwrap();
    String::from_utf8_lossy(&done.stderr).into_owned()
}

struct Api<'s> {
    server: &'s Server,
    bearer: String,
}

impl<'s> Api<'s> {
    fn new(server: &'s Server, data: &Path) -> Self {
        let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
        Self { server, bearer: format!("authorization: Bearer {}", key.trim_end()) }
    }

    fn get(&self, path: &str) -> Value {
        curl(&["-H", &self.bearer, &format!("{}{path}", self.server.url)]).1
    }

    fn post(&self, path: &str, body: &Value) -> (String, Value) {
        let url = format!("{}{path}", self.server.url);
        curl(&["-H", &self.bearer, "-H", "content-type: application/json", "-d", &body.to_string(), &url])
    }

    fn made(&self, path: &str, body: &Value) -> Value {
        let (status, body) = self.post(path, body);
        assert_eq!(status, "201", "{path}: {body}");
        body["data"].clone()
    }

    fn agent(&self, name: &str) -> String {
        self.made("/api/v1/agents", &json!({ "name": name, "model_hash": MODEL }))["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn certify(&self, agent: &str) -> (String, Value) {
        self.post(&format!("/api/v1/agents/{agent}/certify"), &json!({ "key_algorithm": "p256" }))
    }

    fn metric(&self, name: &str) -> Vec<f64> {
        let text = self.get("/metrics");
        let lines = text.as_str().unwrap().lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    }
}

/// Whether openssl accepts what was issued, at that time, below the root of its chain.
fn accepted(issued: &Value, at: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let chain = issued["chain_pem"].as_str().unwrap();
    for (name, text) in [("chain", chain), ("leaf", issued["certificate_pem"].as_str().unwrap())] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    // The trust anchors of the chain are the self-signed ones in it.
    let line = ["verify", "-x509_strict", "-attime", at, "-CAfile", "roots", "-untrusted", "chain", "leaf"];
    let roots = issued["roots"].as_str().unwrap();
    std::fs::write(folder.path().join("roots"), roots).unwrap();
    Command::new("openssl").args(line).current_dir(folder.path()).output().unwrap().status.success()
}

/// What was issued with the deployment's authorities beside it.
fn with_roots(api: &Api<'_>, mut issued: Value) -> Value {
    let all = api.get("/api/v1/ca")["data"]["authorities"].clone();
    let roots = all.as_array().unwrap().iter().filter(|ca| ca["role"] == "root");
    let roots: String = roots.map(|ca| ca["certificate_pem"].as_str().unwrap()).collect();
    issued["roots"] = roots.into();
    issued
}

fn seconds_from_now(seconds: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    (now.as_secs() + seconds).to_string()
}

const DAY: u64 = 86_400;
const YEAR: u64 = 365;

#[test]
fn a_deployment_is_served_past_the_end_of_its_cas_and_they_are_replaced_then() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = data.display().to_string();
    let server = start(&data, &["--ca-algorithm", "p256"]);
    let api = Api::new(&server, &data);
    let agent = api.agent("one");
    let (status, first) = api.certify(&agent);
    assert_eq!(status, "201", "{first}");
    let first = first["data"]["serial_number"].as_str().expect("a serial number").to_owned();
    let ready = api.get("/readyz");
    assert_eq!((&ready["status"], &ready["authorities_ending"]), (&json!("ok"), &json!(0)), "{ready}");
    drop(server);

    // The day before: it issues, and says what is about to happen.
    let day_before = format!("+{}d", 3 * YEAR - 1);
    let server = start_years_later(&data, &day_before);
    let api = Api::new(&server, &data);
    let ready = api.get("/readyz");
    assert_eq!((&ready["status"], &ready["signing"]), (&json!("degraded"), &json!(true)), "{ready}");
    assert_eq!((&ready["authorities_ending"], &ready["reasons"]), (&json!(1), &json!(["authority_ending"])));
    let left = api.metric("kakunin_ca_expires_seconds{");
    assert!(left.len() == 2 && (0.0..=86_400.0).contains(&left[0]) && left[1] > 1e8, "{left:?}");
    assert_eq!(api.certify(&api.agent("two")).0, "201");
    let inbox = api.get("/api/v1/notifications")["data"].clone();
    assert_eq!(
        (&inbox[0]["title"], &inbox[0]["agent_id"], &inbox[0]["severity"]),
        (&json!("Certificate authority ends soon"), &Value::Null, &json!("critical"))
    );
    drop(server);
    assert!(log_off(&data, &day_before).contains("ends soon"), "no warning");

    for (days, roots) in [(3 * YEAR + 1, 1), (15 * YEAR + 1, 2)] {
        let by = format!("+{days}d");
        let server = start_years_later(&data, &by);
        let api = Api::new(&server, &data);
        let ready = api.get("/readyz");
        assert_eq!((&ready["status"], &ready["signing"]), (&json!("degraded"), &json!(false)), "{ready}");
        assert!(api.metric("kakunin_ca_expires_seconds{").iter().any(|left| *left < 0.0));
        let agent = api.agent(&format!("after {days}"));
        let (status, refused) = api.certify(&agent);
        assert_eq!((status.as_str(), &refused["code"]), ("503", &json!("issuer_expired")), "{refused}");
        assert!(refused["error"].as_str().unwrap().contains("kakunin ca rotate"), "{refused}");
        // What needs no certificate goes on.
        let halted =
            api.post(&format!("/api/v1/agents/{agent}/halt"), &json!({ "reason": "kill_switch_activated" }));
        assert!(halted.0.starts_with('2'), "{halted:?}");
        let ca = api.get("/api/v1/ca")["data"]["authorities"].clone();
        let issuing =
            ca.as_array().unwrap().iter().find(|ca| ca["current"] == true && ca["role"] == "issuing");
        let key = issuing.unwrap()["key_id"].as_str().unwrap().to_owned();
        assert_eq!(curl(&[&format!("{}/api/v1/feed/{key}", server.url)]).0, "200");
        let null = ["-o", "/dev/null"];
        assert_eq!(
            curl(&[&null[..], &[&format!("{}/api/v1/crl/{key}/0.crl", server.url)]].concat()).0,
            "200"
        );
        assert!(!api.get("/api/v1/audit-log")["data"].is_null());
        drop(server);
        assert!(log_off(&data, &by).contains("has ended"), "no warning");
        assert!(said_off(&by, &["ca", "request", "--data", &text]).contains("CERTIFICATE REQUEST"));
        let said = said_off(&by, &["ca", "rotate", "--data", &text]);
        assert_eq!(said.contains("under the new root"), roots == 2, "{said}");
        let server = start_years_later(&data, &by);
        let api = Api::new(&server, &data);
        let ready = api.get("/readyz");
        assert_eq!((&ready["status"], &ready["signing"]), (&json!("ok"), &json!(true)), "{ready}");
        let (status, issued) = api.certify(&api.agent(&format!("again {days}")));
        assert_eq!(status, "201", "{issued}");
        // What the old one issued is known, and taken away like any other.
        let verify = format!("{}/api/v1/verify/{first}", server.url);
        let (status, found) = curl(&[&verify]);
        assert_eq!((status.as_str(), &found["data"]["valid"]), ("200", &json!(false)), "{found}");
        let revoke =
            api.post(&format!("/api/v1/certificates/{first}/revoke"), &json!({ "reason": "key_compromise" }));
        assert!(revoke.0.starts_with('2'), "{revoke:?}");
        let issued = with_roots(&api, issued["data"].clone());
        assert!(accepted(&issued, &seconds_from_now(days * DAY)));
        // A verifier that is minutes behind accepts what a rotation a moment ago brought.
        assert!(accepted(&issued, &seconds_from_now(days * DAY - 240)));
    }
}

#[test]
fn an_offline_root_and_what_it_signed_are_replaced_after_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (data, secret) = (at("data"), at("root.secret"));
    let issue = |by: &str, root: &str| {
        std::fs::write(at("request"), said_off(by, &["ca", "request", "--data", &data])).unwrap();
        let arguments = ["ca", "sign-issuing", "--root", &at(root), "--key-file", &secret, &at("request")];
        let signed = command_off(by, &arguments);
        if !signed.status.success() {
            return Err(String::from_utf8_lossy(&signed.stderr).into_owned());
        }
        std::fs::write(at("signed"), signed.stdout).unwrap();
        Ok(said_off(by, &["ca", "install", "--data", &data, &at("signed")]))
    };
    let init = |by: &str, root: &str| {
        said_off(by, &["ca", "init", "--root", &at(root), "--key-file", &secret]);
    };
    init("+0d", "first");
    issue("+0d", "first").unwrap();
    let three = format!("+{}d", 3 * YEAR + 1);
    assert!(issue(&three, "first").unwrap().contains("issuing CA"));
    let fifteen = format!("+{}d", 15 * YEAR + 1);
    let refused = issue(&fifteen, "first").unwrap_err();
    assert!(refused.contains("make another root"), "{refused}");
    init(&fifteen, "second");
    issue(&fifteen, "second").unwrap();
    let server = start_years_later(Path::new(&data), &fifteen);
    let api = Api::new(&server, Path::new(&data));
    assert_eq!(api.get("/readyz")["status"], "ok");
    assert_eq!(api.certify(&api.agent("one")).0, "201");
}

#[test]
fn after_a_clock_that_was_two_hours_ahead_was_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &["--ca-algorithm", "p256"]);
    drop(server);
    // Put right while it runs.
    let clock = folder.path().join("clock");
    std::fs::write(&clock, "+2h").unwrap();
    let (library, file) = (faketime(), clock.display().to_string());
    let environment = [
        ("LD_PRELOAD", library.as_str()),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let server = start_with(&data, &[], &environment);
    let api = Api::new(&server, &data);
    let (one, two) = (api.agent("one"), api.agent("two"));
    let ready = api.get("/readyz");
    assert_eq!((&ready["status"], &ready["log_ahead_seconds"]), (&json!("ok"), &json!(0)), "{ready}");
    std::fs::write(&clock, "+0h").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let ready = loop {
        let ready = api.get("/readyz");
        if ready["status"] == "degraded" || Instant::now() > deadline {
            break ready;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let about_two_hours = |seconds: f64| (7_000.0..=7_200.0).contains(&seconds);
    assert!(about_two_hours(ready["log_ahead_seconds"].as_f64().unwrap()), "{ready}");
    assert_eq!((&ready["signing"], &ready["reasons"]), (&json!(true), &json!(["log_ahead"])));
    assert!(about_two_hours(api.metric("kakunin_log_ahead_seconds")[0]));
    let (status, issued) = api.certify(&one);
    assert_eq!(status, "201", "{issued}");
    assert!(accepted(&with_roots(&api, issued["data"].clone()), &seconds_from_now(0)));
    let token = api.made(&format!("/api/v1/agents/{two}/join-tokens"), &json!({ "expires_in": 600 }));
    let ends = token["expires_at"].as_str().unwrap();
    let date = run("date", &["-u", "-d", ends, "+%s"], folder.path()).stdout;
    let ends: u64 = String::from_utf8(date).unwrap().trim().parse().unwrap();
    let now: u64 = seconds_from_now(0).parse().unwrap();
    assert!((now + 540..=now + 601).contains(&ends), "{ends} at {now}");
    // And it does end then.
    std::fs::write(&clock, "+601").unwrap();
    let arguments =
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "k"];
    run("openssl", &[&arguments[..], &["-subj", "/CN=x", "-out", "csr"]].concat(), folder.path());
    let csr = std::fs::read_to_string(folder.path().join("csr")).unwrap();
    let (status, refused) = api.post("/api/v1/enroll", &json!({ "join_token": token["token"], "csr": csr }));
    assert_eq!((status.as_str(), &refused["code"]), ("401", &json!("join_token_invalid")), "{refused}");
    drop(server);
    assert!(log_off(&data, "+0").contains("ahead of the clock"), "no warning");
}

#[test]
fn a_ca_that_begins_later_is_left_out_until_then_and_can_be_replaced() {
    for made_ahead in ["its issuing CA", "all of it"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let text = data.display().to_string();
        if made_ahead == "all of it" {
            drop(start_off(&data, "+3h"));
        } else {
            drop(start(&data, &["--ca-algorithm", "p256"]));
            said_off("+3h", &["ca", "rotate", "--data", &text]);
        }
        let server = start(&data, &[]);
        let api = Api::new(&server, &data);
        let ready = api.get("/readyz");
        assert_eq!((&ready["status"], &ready["signing"]), (&json!("degraded"), &json!(false)), "{ready}");
        assert!(ready["reasons"].as_array().unwrap().contains(&json!("signing")), "{ready}");
        let agent = api.agent("one");
        let (status, refused) = api.certify(&agent);
        assert_eq!((status.as_str(), &refused["code"]), ("503", &json!("issuer_not_yet_valid")), "{refused}");
        let reason = json!({ "reason": "kill_switch_activated" });
        let halted = api.post(&format!("/api/v1/agents/{agent}/halt"), &reason);
        assert!(halted.0.starts_with('2'), "{made_ahead}: {halted:?}");
        drop(server);
        assert!(log_off(&data, "+0s").contains("cannot be relied on now"), "{made_ahead}: no word of it");
        said_off("+0s", &["ca", "rotate", "--data", &text]);
        let server = start(&data, &[]);
        let api = Api::new(&server, &data);
        let ready = api.get("/readyz");
        assert_eq!(ready["signing"], true, "{made_ahead}: {ready}");
        let (status, issued) = api.certify(&api.agent("two"));
        assert_eq!(status, "201", "{made_ahead}: {issued}");
        let issued = with_roots(&api, issued["data"].clone());
        assert!(accepted(&issued, &seconds_from_now(0)), "{made_ahead}");
        drop(server);
        // And once it has begun.
        let server = start_off(&data, "+4h");
        let api = Api::new(&server, &data);
        assert_eq!(api.get("/readyz")["signing"], true, "{made_ahead}");
    }
}

#[test]
fn a_clock_that_is_decades_ahead_does_not_take_the_log_along() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let newest = |api: &Api<'_>| {
        let newest = &api.get("/api/v1/audit-log?limit=1")["data"][0];
        let at = newest["timestamp"].as_str().or(newest["created_at"].as_str());
        at.unwrap_or_else(|| panic!("{newest}")).to_owned()
    };
    let server = start(&data, &["--ca-algorithm", "p256"]);
    let agent = Api::new(&server, &data).agent("one");
    drop(server);
    let year = |text: &str| text[..4].parse::<u32>().unwrap();
    let server = start_off(&data, "+27000d");
    let api = Api::new(&server, &data);
    let ready = api.get("/readyz");
    assert_eq!(ready["status"], "degraded", "{ready}");
    assert!(ready["reasons"].as_array().unwrap().contains(&json!("clock_disbelieved")), "{ready}");
    assert!(ready["clock_disbelieved_seconds"].as_u64().unwrap() > 26_999 * DAY, "{ready}");
    assert!(api.metric("kakunin_clock_disbelieved_seconds")[0] > 1e9);
    // What is ordered goes on record.
    let halted =
        api.post(&format!("/api/v1/agents/{agent}/halt"), &json!({ "reason": "operator_initiated" }));
    assert!(halted.0.starts_with('2'), "{halted:?}");
    let with_wrong_clock = newest(&api);
    assert!(year(&with_wrong_clock) < 2090, "{with_wrong_clock}");
    drop(server);
    assert!(log_off(&data, "+27000d").contains("--believe-clock"), "nothing says what to do");
    // Put right, it is as if it never was.
    let server = start(&data, &[]);
    let api = Api::new(&server, &data);
    let ready = api.get("/readyz");
    assert_eq!(
        (&ready["log_ahead_seconds"], &ready["clock_disbelieved_seconds"]),
        (&json!(0), &json!(0)),
        "{ready}"
    );
    api.agent("two");
    assert!(newest(&api) >= with_wrong_clock);
    drop(server);
    // A year later it is believed, and after more if somebody says so.
    for (later, flags) in [("+399d", &[][..]), ("+1100d", &["--believe-clock"][..])] {
        let server = start_off_with(&data, later, flags);
        let ready = Api::new(&server, &data).get("/readyz");
        assert_eq!(ready["clock_disbelieved_seconds"], 0, "{later}: {ready}");
    }
}
