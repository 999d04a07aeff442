//! A file system that is really full: what takes trust away goes through, and reads write nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use binary::{MODEL, Server, curl, run, start};
use kakunin_core::x509::pem;
use kakunin_verify::possession::CertificateEncoding;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Disk(TempDir);

impl Disk {
    fn mount(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .status();
        assert!(done.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
        Self(dir)
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Takes what is left, to the last octet.
    fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for chunk in [1 << 20, 4_096, 1] {
            let more = vec![0; chunk];
            while ballast.write_all(&more).is_ok() {}
        }
        assert_eq!(ballast.write(&[0; 4_096]).unwrap_err().kind(), ErrorKind::StorageFull);
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The API of a server, for whoever holds its admin key.
struct Api {
    server: Server,
    bearer: String,
}

impl Api {
    fn start(data: &Path) -> Self {
        let server = start(data, &[]);
        let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
        Self { server, bearer: format!("authorization: Bearer {}", key.trim_end()) }
    }

    fn get(&self, path: &str) -> (String, Value) {
        curl(&["-H", &self.bearer, &format!("{}{path}", self.server.url)])
    }

    fn post(&self, path: &str, body: &Value) -> (String, Value) {
        let (url, body) = (format!("{}{path}", self.server.url), body.to_string());
        curl(&["-H", &self.bearer, "-H", "content-type: application/json", "-d", &body, &url])
    }

    fn delete(&self, path: &str) -> (String, Value) {
        curl(&["-H", &self.bearer, "-X", "DELETE", &format!("{}{path}", self.server.url)])
    }

    /// An agent with a certificate: its identifier, and the serial number.
    fn agent(&self, name: &str) -> (String, String) {
        let body = json!({ "name": name, "model_hash": MODEL, "permitted_actions": ["read:mail"] });
        let (status, made) = self.post("/api/v1/agents", &body);
        assert_eq!(status, "201", "{made}");
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        let (status, issued) =
            self.post(&format!("/api/v1/agents/{id}/certify"), &json!({ "key_algorithm": "p256" }));
        assert_eq!(status, "201", "{issued}");
        (id, issued["data"]["serial_number"].as_str().unwrap().to_owned())
    }

    fn event(&self, serial: &str) -> (String, Value) {
        let event = json!({ "serial": serial, "action": "read:mail", "details": { "x": "y".repeat(2_000) } });
        self.post("/api/v1/events", &event)
    }

    fn standing(&self, serial: &str) -> String {
        let (status, body) = curl(&[&format!("{}/api/v1/verify/{serial}", self.server.url)]);
        assert_eq!(status, "200", "{body}");
        body["data"]["status"].as_str().or(body["status"].as_str()).unwrap().to_owned()
    }

    fn metric(&self, name: &str) -> f64 {
        let (_, text) = curl(&[&format!("{}/metrics", self.server.url)]);
        let text = text.as_str().unwrap().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
    }

    fn issuer(&self) -> String {
        let body = curl(&[&format!("{}/api/v1/ca", self.server.url)]).1;
        let all = body["data"]["authorities"].as_array().unwrap();
        let current = all.iter().find(|ca| ca["role"] == "issuing" && ca["current"] == true).unwrap();
        current["key_id"].as_str().unwrap().to_owned()
    }

    fn crl(&self, issuer: &str, shard: &str) -> String {
        let url = format!("{}/api/v1/crl/{issuer}/{shard}.crl", self.server.url);
        curl(&["-H", "accept: application/x-pem-file", &url]).0
    }

    /// Until it is as said, or for 5 s.
    fn within(&self, what: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(5);
        while !what(self) {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        true
    }
}

fn degraded(api: &Api) -> bool {
    let (status, ready) = api.get("/readyz");
    let named = ready["reasons"].as_array().is_some_and(|all| all.contains(&json!("storage_full")));
    status == "200" && ready["status"] == "degraded" && ready["storage_full"] == true && named
}

#[test]
fn a_full_disk_takes_trust_away_and_gives_none() {
    let disk = Disk::mount("48m");
    let api = Api::start(&disk.data());
    let issuer = api.issuer();
    let agents: Vec<_> = (0..60).map(|n| api.agent(&format!("a{n}"))).collect();
    let [halted, revoked, held, retired, good] = [0, 1, 2, 3, 4].map(|n| &agents[n]);
    let key = json!({ "tenant": "default", "role": "reporter", "label": "x" });
    let (_, key) = api.post("/api/v1/api-keys", &key);
    let key = key["data"]["id"].as_str().unwrap().to_owned();
    assert!(api.metric("kakunin_storage_reserve_bytes") >= 524_288.0);
    assert_eq!(
        (api.metric("kakunin_storage_full"), api.get("/readyz").1["status"].clone()),
        (0.0, json!("ok"))
    );
    // With a key for its payloads: an agent that has none yet is refused by the vault already.
    assert_eq!(api.event(&good.1).0, "201");
    disk.fill();
    // A flood of what a store of this kind takes before it is full, and after.
    let mut refusals = 0;
    for _ in 0..300 {
        let (status, body) = api.event(&good.1);
        if status == "507" {
            assert_eq!(body["code"], "storage_full", "{body}");
            refusals += 1;
        }
    }
    assert!(refusals > 50, "{refusals}");
    assert!(api.within(degraded), "{:?}", api.get("/readyz"));
    assert_eq!(api.metric("kakunin_storage_full"), 1.0);
    assert!(api.metric("kakunin_storage_refused_total") >= f64::from(refusals));
    assert!(api.metric("kakunin_storage_reserve_bytes") >= 524_288.0, "events took the reserve");
    // Nothing is given.
    for (path, body) in [
        ("/api/v1/agents".to_owned(), json!({ "name": "late", "model_hash": MODEL })),
        (format!("/api/v1/agents/{}/renew", good.0), json!({ "key_algorithm": "p256", "model_hash": MODEL })),
        ("/api/v1/tenants".to_owned(), json!({ "id": "late" })),
    ] {
        let (status, answer) = api.post(&path, &body);
        assert_eq!((status.as_str(), &answer["code"]), ("507", &json!("storage_full")), "{path}");
    }
    // Trust is taken.
    let halt =
        |id: &str| api.post(&format!("/api/v1/agents/{id}/halt"), &json!({ "reason": "operator_initiated" }));
    let (status, stopped) = halt(&halted.0);
    assert_eq!(status, "200", "{stopped}");
    assert!(stopped["data"]["signature"].is_string(), "{stopped}");
    let revoke = format!("/api/v1/certificates/{}/revoke", revoked.1);
    assert_eq!(api.post(&revoke, &json!({ "reason": "key_compromise" })).0, "200");
    assert_eq!(api.post(&format!("/api/v1/certificates/{}/hold", held.1), &json!({})).0, "200");
    assert_eq!(api.delete(&format!("/api/v1/agents/{}", retired.0)).0, "200");
    assert_eq!(api.delete(&format!("/api/v1/api-keys/{key}")).0, "200");
    for (agent, expected) in
        [(halted, "revoked"), (revoked, "revoked"), (held, "suspended"), (retired, "revoked")]
    {
        assert_eq!(api.standing(&agent.1), expected);
    }
    assert_eq!(api.standing(&good.1), "active");
    // Each read goes without writing; the shards were never asked for.
    for shard in (0..40).map(|n| n.to_string()).chain(["full".to_owned()]) {
        assert_eq!(api.crl(&issuer, &shard), "200", "{shard}");
    }
    for path in [
        "/api/v1/crl",
        "/api/v1/crl/chain",
        "/api/v1/ca/chain",
        "/api/v1/agents",
        "/api/v1/events",
        "/api/v1/audit-log",
        "/api/v1/notifications",
        "/api/v1/api-keys",
        "/healthz",
    ] {
        assert_eq!(api.get(path).0, "200", "{path}");
    }
    let read = || api.post("/api/v1/notifications/read", &json!({ "up_to": "9007199254740991" }));
    let unread = || api.get("/api/v1/notifications").1["unread_count"].as_u64().unwrap();
    let (before, (status, refused)) = (unread(), read());
    assert_eq!((status.as_str(), &refused["code"]), ("507", &json!("storage_full")));
    assert!(before >= 4 && unread() == before, "{before} are unread still");
    for path in
        [format!("feed/{issuer}"), format!("feed/{issuer}/snapshot"), format!("agents/{}/risk", good.0)]
    {
        assert_eq!(api.get(&format!("/api/v1/{path}")).0, "200", "{path}");
    }
    // The next start serves the same, and takes trust away.
    drop(api);
    let api = Api::start(&disk.data());
    assert_eq!(api.standing(&halted.1), "revoked");
    assert_eq!(api.crl(&issuer, "full"), "200");
    assert!(api.within(degraded), "{:?}", api.get("/readyz"));
    for (id, serial) in &agents[6..] {
        let (status, stopped) =
            api.post(&format!("/api/v1/agents/{id}/halt"), &json!({ "reason": "operator_initiated" }));
        assert_eq!(status, "200", "{stopped}");
        assert_eq!(api.standing(serial), "revoked");
    }
    // The same after it was told to end.
    let mut api = api;
    run("kill", &["-TERM", &api.server.child.id().to_string()], disk.0.path());
    assert!(api.server.child.wait().unwrap().success(), "it ends well");
    disk.fill();
    drop(api);
    let api = Api::start(&disk.data());
    assert!(api.within(degraded), "{:?}", api.get("/readyz"));
    let (id, serial) = &agents[5];
    let (status, stopped) =
        api.post(&format!("/api/v1/agents/{id}/halt"), &json!({ "reason": "operator_initiated" }));
    assert_eq!((status.as_str(), api.standing(serial)), ("200", "revoked".to_owned()), "{stopped}");
    // Space is back: without a restart all goes on, and the reserve is set aside anew.
    disk.free();
    assert!(api.within(|api| api.event(&good.1).0 == "201"), "{:?}", api.event(&good.1));
    assert!(api.within(|api| api.get("/readyz").1["status"] == "ok"), "{:?}", api.get("/readyz"));
    let marked = api.post("/api/v1/notifications/read", &json!({ "up_to": "9007199254740991" }));
    assert_eq!((marked.0.as_str(), &marked.1["data"]["unread_count"]), ("200", &json!(0)));
    assert_eq!(api.metric("kakunin_storage_full"), 0.0);
    assert!(api.metric("kakunin_storage_reserve_bytes") >= 1_048_576.0);
    // What was refused left no claim behind.
    api.agent("late");
    assert_eq!(api.post("/api/v1/tenants", &json!({ "id": "late" })).0, "201");
    drop(api);
    let api = Api::start(&disk.data());
    for (_, serial) in &agents[5..] {
        assert_eq!(api.standing(serial), "revoked");
    }
    let (_, ready) = api.get("/readyz");
    assert_eq!((&ready["status"], &ready["damage_found"]), (&json!("ok"), &json!(0)), "{ready}");
}

/// An event by which its agent loses its identity is recorded, others are not.
#[test]
fn on_a_full_disk_an_agent_is_revoked_by_what_it_does() {
    let disk = Disk::mount("32m");
    let api = Api::start(&disk.data());
    let (_, other) = api.agent("other");
    let refused = |serial: &str| {
        let event =
            json!({ "serial": serial, "action": "delete:vault", "outcome": "denied", "out_of_scope": true });
        api.post("/api/v1/events", &event)
    };
    // How many it takes.
    let (_, twin) = api.agent("twin");
    let needed = 1 + (0..200).take_while(|_| refused(&twin).1["data"]["revoked"] == false).count();
    assert!((2..200).contains(&needed), "{needed}");
    let (_, serial) = api.agent("astray");
    for _ in 1..needed {
        assert_eq!(refused(&serial).1["data"]["revoked"], false);
    }
    disk.fill();
    assert!(api.within(|api| api.event(&other).0 == "507"));
    assert!(api.within(degraded));
    let (status, body) = refused(&serial);
    assert_eq!((status.as_str(), &body["data"]["revoked"]), ("201", &json!(true)), "{body}");
    assert_eq!(api.standing(&serial), "revoked");
    assert_eq!(refused(&other).0, "507", "what takes nothing away waits");
}

/// Somebody removed the reserve, or it is too small or hollow: it is set aside anew.
#[test]
fn a_reserve_that_is_gone_is_set_aside_anew() {
    let disk = Disk::mount("48m");
    let api = Api::start(&disk.data());
    let reserve = disk.data().join("kakunin.db.reserve");
    let whole = std::fs::metadata(&reserve).unwrap().len();
    assert!(whole >= 524_288);
    let is_whole = |_: &Api| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(&reserve).is_ok_and(|m| m.len() == whole && m.blocks() * 512 >= whole)
    };
    for spoil in ["gone", "small", "hollow"] {
        match spoil {
            "gone" => std::fs::remove_file(&reserve).unwrap(),
            "small" => File::create(&reserve).unwrap().set_len(0).unwrap(),
            _ => File::create(&reserve).unwrap().set_len(whole).unwrap(),
        }
        assert!(api.within(is_whole), "{spoil}");
    }
    // With no room for it, that is said before anything fails.
    std::fs::remove_file(&reserve).unwrap();
    disk.fill();
    assert!(api.within(degraded), "{:?}", api.get("/readyz"));
    disk.free();
    assert!(api.within(is_whole));
    assert!(api.within(|api| api.get("/readyz").1["status"] == "ok"));
}

/// A dry run lets through what is on record, and what would have no record: nothing else.
#[test]
fn a_full_disk_ends_what_a_dry_run_lets_through() {
    let disk = Disk::mount("16m");
    let flags = ["--gateway", "127.0.0.1=nginx", "--insecure-dry-run-route", "/*"];
    let server = start(&disk.data(), &flags);
    let key = std::fs::read_to_string(disk.data().join("admin.key")).unwrap();
    let api = Api { server, bearer: format!("authorization: Bearer {}", key.trim_end()) };
    let body = json!({ "name": "one", "model_hash": MODEL, "permitted_actions": ["read:mail"] });
    let id = api.post("/api/v1/agents", &body).1["data"]["id"].as_str().unwrap().to_owned();
    let issued = api.post(&format!("/api/v1/agents/{id}/certify"), &json!({ "key_algorithm": "p256" })).1;
    let pem = issued["data"]["certificate_pem"].as_str().unwrap();
    let escaped = CertificateEncoding::UrlPem.write(&pem::decode(pem::CERTIFICATE, pem).unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let head = elsewhere.path().join("head");
    let ask = |certificate: &str, action: &str| {
        let fields = [
            format!("x-client-cert: {certificate}"),
            format!("x-kakunin-action: {action}"),
            "x-original-uri: /mail".to_owned(),
        ];
        let url = format!("{}/api/v1/gateway/auth", api.server.url);
        let mut arguments: Vec<&str> = fields.iter().flat_map(|field| ["-H", field.as_str()]).collect();
        let head = head.display().to_string();
        arguments.extend(["-D", &head, &url]);
        let (status, body) = curl(&arguments);
        let head = std::fs::read_to_string(head).unwrap();
        let would = head.lines().find_map(|line| line.strip_prefix("x-kakunin-dry-run: "));
        (status, would.or(body["code"].as_str()).unwrap_or_default().to_owned())
    };
    let said = |status: &str, what: &str| (status.to_owned(), what.to_owned());
    let nobody = said("200", "would-deny; code=missing_cert_serial");
    let beyond = said("200", "would-deny; code=scope_violation");
    assert_eq!([ask(&escaped, "read:mail"), ask("", "read:mail")], [said("200", ""), nobody.clone()]);
    assert_eq!(ask(&escaped, "delete:mail"), beyond, "on record");
    // What small records may still have had.
    let serial = issued["data"]["serial_number"].as_str().unwrap();
    let is_full = |_| {
        disk.fill();
        api.event(serial);
        ask(&escaped, "read:mail") == said("507", "storage_full")
    };
    assert!((0..500).any(is_full), "{:?}", ask(&escaped, "read:mail"));
    let unrecorded = || api.metric("kakunin_gateway_refusals_unrecorded_total");
    assert_eq!(unrecorded(), 0.0);
    assert_eq!(ask(&escaped, "delete:mail"), said("403", "scope_violation"));
    assert_eq!(unrecorded(), 1.0);
    assert_eq!(ask("", "read:mail"), nobody, "there is nothing to record of nobody");
    disk.free();
    assert!(api.within(|_| ask(&escaped, "delete:mail") == beyond), "{:?}", ask(&escaped, "delete:mail"));
}
