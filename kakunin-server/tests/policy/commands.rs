//! `kakunin policy` and `kakunin verdict`, as somebody types them.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::binary::{MODEL, Server, curl, kakunin, start};

struct Console {
    server: Server,
    key: String,
    folder: tempfile::TempDir,
}

impl Console {
    fn open(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = start(&data, more);
        let key = data.join("admin.key").display().to_string();
        Self { server, key, folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let server = ["--url", &self.server.url, "--key-file", &self.key];
        kakunin(&[arguments, &server].concat()).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let text = self.said(arguments);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{arguments:?}: {text}"))
    }

    fn said(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        assert!(out.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str]) -> String {
        let out = self.run(arguments);
        assert!(!out.status.success() && out.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(out.stderr).unwrap()
    }

    fn ask(&self, key: &str, path: &str, body: &Value) -> Value {
        let authorization = format!("authorization: Bearer {}", std::fs::read_to_string(key).unwrap().trim());
        let (url, body) = (format!("{}{path}", self.server.url), body.to_string());
        let (status, answer) =
            curl(&["-H", &authorization, "-H", "content-type: application/json", "-d", &body, &url]);
        assert!(status.starts_with('2'), "{status}: {answer}");
        answer["data"].clone()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

#[test]
fn a_policy_is_shown_edited_and_set() {
    let c = Console::open(&[]);
    let shown = c.done(&["policy", "show"]);
    assert_eq!((&shown["policy"]["mode"], &shown["since"]), (&json!("enforce"), &Value::Null));
    let set = [
        "policy",
        "set",
        "--mode",
        "warn",
        "--revoke",
        "0.9",
        "--minimum-events",
        "5",
        "--reason",
        "rehearsal",
    ];
    let after = c.done(&set);
    assert_eq!(
        (&after["policy"]["mode"], &after["policy"]["thresholds"]["revoke"]),
        (&json!("warn"), &json!(0.9))
    );
    assert_eq!(after["policy"]["minimum"]["events"], 5);
    assert_eq!(c.done(&set)["since"], after["since"], "twice is once");
    // By a file, as it was printed and edited.
    let mut edited = c.done(&["policy", "show"]);
    edited["policy"]["hysteresis"] = json!(0.1);
    let file = c.file("edited.json", &edited.to_string());
    let by_file = c.done(&["policy", "set", &file, "--no-breaker", "--second-approver", "revoke"]);
    assert_eq!(
        (&by_file["policy"]["hysteresis"], &by_file["policy"]["breaker"]),
        (&json!(0.1), &Value::Null)
    );
    let second = json!({ "revoke": true, "release": false, "policy": false });
    assert_eq!(by_file["policy"]["second_approver"], second);
    // The same file is an edit of an older policy now.
    assert!(c.refused(&["policy", "set", &file]).contains("another policy than is in force"));
    let alone = c.file("alone.json", &shown["policy"].to_string());
    assert_eq!(c.done(&["policy", "set", &alone])["policy"], shown["policy"]);
    assert_eq!(c.done(&["policy", "set", "--second-approver", ""])["policy"], shown["policy"]);

    for (arguments, part) in [
        (&["policy", "set"][..], "required"),
        (&["policy", "set", "--revoke", "NaN"], "--revoke"),
        (&["policy", "set", "--revoke", "0.8500001"], "six decimals"),
        (&["policy", "set", "--revoke", "0.5"], "must rise"),
        (&["policy", "set", "--mode", "enforced"], "observe"),
        (&["policy", "set", "--second-approver", "halt"], "revoke"),
        (&["policy", "set", "/nowhere/x.json"], "cannot read"),
        (&["policy", "set", &c.file("x.json", "[]")], "holds no policy"),
        (&["policy", "set", &c.file("y.json", "{\"policy\":1}")], "no object"),
        (&["policy", "show", "--tenant", "nobody"], "404"),
        (&["policy", "release", "--reason", "x"], "has not tripped"),
        (&["policy", "release"], "--reason"),
        (&["policy", "approve", "x"], "<ID>"),
        (&["verdict", "x", "dismiss", "--reason", "x"], "<AGENT>"),
    ] {
        let said = c.refused(arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert_eq!(c.done(&["policy", "breaker"])["held_total"], 0);
    assert_eq!(c.done(&["policy", "approvals"]), json!([]));
}

#[test]
fn people_decide_from_a_console() {
    let c = Console::open(&[]);
    let spec = json!({ "name": "desk", "model_hash": MODEL, "scope": ["read:mail"] });
    let id = c.ask(&c.key, "/api/v1/agents", &spec)["id"].as_str().unwrap().to_owned();
    let made = c.ask(&c.key, &format!("/api/v1/agents/{id}/certify"), &json!({ "key_algorithm": "p256" }));
    let serial = made["serial_number"].as_str().unwrap();
    let judged = c.done(&["verdict", &id, "confirmSafe", "--reason", "its work"]);
    assert_eq!(judged["risk_state"], "confirmedSafe");
    assert!(c.refused(&["verdict", &id, "dismiss", "--reason", " "]).contains("422"));

    let other = c.ask(&c.key, "/api/v1/api-keys", &json!({ "role": "operator", "label": "second" }));
    let other = c.file("second.key", other["key"].as_str().unwrap());
    c.done(&["policy", "set", "--second-approver", "revoke,policy"]);
    let waits = c.said(&["policy", "set", "--mode", "observe"]);
    assert!(waits.contains("waits for a second person"), "{waits}");
    let path = format!("/api/v1/certificates/{serial}/revoke");
    let order = c.ask(&c.key, &path, &json!({}))["approval_id"].as_str().unwrap().to_owned();
    assert_eq!(c.done(&["policy", "approvals"]).as_array().unwrap().len(), 2);
    assert!(c.refused(&["policy", "approve", &order]).contains("your own"));
    let second = ["--url", &c.server.url, "--key-file", &other];
    let approved = kakunin(&[&["policy", "approve", &order, "--reason", "seen"][..], &second].concat())
        .output()
        .unwrap();
    let approved: Value = serde_json::from_slice(&approved.stdout).unwrap();
    assert_eq!((&approved["status"], &approved["certificate_serial"]), (&json!("approved"), &json!(serial)));
    let rest = c.done(&["policy", "approvals"]);
    let rejected = c.done(&["policy", "reject", rest[0]["approval_id"].as_str().unwrap()]);
    assert_eq!(rejected["status"], "rejected");
    assert_eq!(c.done(&["policy", "show"])["policy"]["mode"], "enforce");
}

#[test]
fn a_deployment_is_started_with_a_policy_of_its_own() {
    let first = Console::open(&[]);
    let shown = first.done(&["policy", "show"]);
    let mut policy = shown["policy"].clone();
    policy["mode"] = json!("observe");
    let file = first.file("default.json", &policy.to_string());
    let c = Console::open(&["--default-policy", &file]);
    let now = c.done(&["policy", "show"]);
    assert_eq!((&now["policy"], &now["since"]), (&policy, &Value::Null));
    let data = |name: &str| first.folder.path().join(name).display().to_string();
    for (text, part) in [("{}", "missing"), ("", "empty"), ("{\"mode\":1}", "mode")] {
        let file = first.file("wrong.json", text);
        let said = crate::binary::refused(&["serve", "--data", &data("none"), "--default-policy", &file]);
        assert!(said.contains("--default-policy") && said.contains(part), "{text}: {said}");
    }
    assert!(!Path::new(&data("none")).exists(), "nothing was made");
}
