//! `kakunin inbox` against a server of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc::channel;

use serde_json::{Value, json};

use crate::binary::{MODEL, Server, curl, kakunin, refused, run, start, start_at};
use crate::world::SOON;

struct Asked<'a> {
    server: &'a Server,
    bearer: String,
    /// What curl trusts.
    ca: Vec<String>,
}

impl<'a> Asked<'a> {
    fn new(server: &'a Server, data: &Path) -> Self {
        let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
        Self { server, bearer: format!("authorization: Bearer {}", key.trim_end()), ca: Vec::new() }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (url, body) = (format!("{}/api/v1/{path}", self.server.url), body.to_string());
        let known = ["-H", &self.bearer, "-H", "content-type: application/json", "-d", &body, &url];
        let ca: Vec<_> = self.ca.iter().map(String::as_str).collect();
        let (status, answer) = curl(&[&ca, &known[..]].concat());
        assert!(status.starts_with('2'), "{path}: {status} {answer}");
        answer["data"].clone()
    }

    fn certified(&self) -> String {
        let agent = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:mail"] });
        let id = self.post("agents", &agent)["id"].as_str().unwrap().to_owned();
        let issued = self.post(&format!("agents/{id}/certify"), &json!({ "key_algorithm": "p256" }));
        issued["serial_number"].as_str().unwrap().to_owned()
    }

    fn hold(&self, serial: &str) {
        for what in ["hold", "release"] {
            self.post(&format!("certificates/{serial}/{what}"), &json!({}));
        }
    }
}

fn said(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let out = kakunin(arguments).envs(environment.iter().copied()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn it_shows_what_is_new_and_marks_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &[]);
    let asked = Asked::new(&server, &data);
    let file = data.join("admin.key").display().to_string();
    let known = ["--url", &server.url, "--key-file", &file];
    let inbox = |more: &[&str]| said(&[&["inbox"], &known[..], more].concat(), &[]);
    assert_eq!(inbox(&[]), ["0 unread"]);
    let read = |more: &[&str]| said(&[&["inbox", "read"], &known[..], more].concat(), &[]);
    assert_eq!(read(&["--all"]), ["0 unread"], "of nothing");
    let serial = asked.certified();
    for _ in 0..3 {
        asked.hold(&serial);
    }
    let lines = inbox(&[]);
    assert_eq!((lines.len(), lines[3].as_str()), (4, "3 unread"));
    assert!(lines[..3].iter().all(|line| line.starts_with("* ") && line.contains("agent_held")), "{lines:?}");
    let json: Vec<Value> =
        inbox(&["--json"]).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((json.len(), &json[0]["severity"], &json[0]["read"]), (3, &json!("warning"), &json!(false)));
    let id = |n: usize| json[n]["id"].as_str().unwrap();
    assert_eq!(read(&[id(0)]), ["2 unread"]);
    assert_eq!(read(&[id(0)]), ["2 unread"]);
    assert!(inbox(&[])[0].starts_with("  "));
    let unread = inbox(&["--unread"]);
    let shown: Vec<_> = unread.iter().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(shown, [id(1), id(2), "unread"], "{unread:?}");
    assert_eq!(inbox(&["--severity", "critical"]), ["2 unread"]);
    assert_eq!(inbox(&["--kind", "agent_held", "--limit", "1"]).len(), 2);
    assert_eq!(read(&["--all"]), ["0 unread"]);
    assert_eq!(inbox(&["--unread"]), ["0 unread"]);
    // The key from the environment, and the URL.
    let key = std::fs::read_to_string(&file).unwrap();
    let environment = [("KAKUNIN_API_KEY", key.trim_end()), ("KAKUNIN_URL", server.url.as_str())];
    assert_eq!(said(&["inbox", "--limit", "1"], &environment).len(), 2);
    assert_eq!(said(&["inbox", "read", "--all"], &environment), ["0 unread"]);
}

#[test]
fn it_follows_what_comes_also_over_a_restart_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &[]);
    let asked = Asked::new(&server, &data);
    let serial = asked.certified();
    asked.hold(&serial);
    let file = data.join("admin.key").display().to_string();
    let url = server.url.clone();
    let mut child =
        kakunin(&["inbox", "--url", &url, "--key-file", &file, "--follow", "--json"]).spawn().unwrap();
    let (out, lines) = channel();
    let read = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || read.lines().map_while(Result::ok).try_for_each(|line| out.send(line)));
    let next = || -> u64 {
        let line = lines.recv_timeout(SOON).expect("a line");
        serde_json::from_str::<Value>(&line).unwrap()["id"].as_str().unwrap().parse().unwrap()
    };
    let first = next();
    asked.hold(&serial);
    let second = next();
    assert!(second > first);
    let listen = url.strip_prefix("http://").unwrap().to_owned();
    drop(server);
    let server = start_at(&data, &listen, &[], &[]);
    let asked = Asked::new(&server, &data);
    asked.hold(&serial);
    assert!(next() > second, "once, and the newest");
    // When its key is gone there is nothing to wait for.
    let made = asked.post("api-keys", &json!({ "role": "admin", "label": "other" }));
    let keys = curl(&["-H", &asked.bearer, &format!("{url}/api/v1/api-keys")]).1;
    let own =
        keys["data"].as_array().unwrap().iter().find(|key| key["id"] != made["id"]).unwrap()["id"].clone();
    let gone = format!("{url}/api/v1/api-keys/{}", own.as_str().unwrap());
    assert!(curl(&["-X", "DELETE", "-H", &asked.bearer, &gone]).0.starts_with("200"));
    let out = child.wait_with_output().unwrap();
    let why = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && why.trim_end().lines().last().unwrap().contains("401"), "{why}");
}

#[test]
fn what_it_cannot_do_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("wrong"), "kak_live_wrong").unwrap();
    std::fs::write(at("empty"), "\n").unwrap();
    let server = start(&data, &[]);
    let own = data.join("admin.key").display().to_string();
    let inbox = |more: &[&str]| refused(&[&["inbox"], more].concat());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (arguments, part) in [
        (vec!["--url", &server.url], "KAKUNIN_API_KEY"),
        (vec!["--url", &server.url, "--key-file", &at("none")], "cannot read"),
        (vec!["--url", &server.url, "--key-file", &at("empty")], "holds no API key"),
        (vec!["--url", &server.url, "--key-file", &at("wrong")], "401"),
        (vec!["--url", &server.url, "--key-file", &own, "--ca", &own], "--ca: cannot use"),
        (vec!["--url", "http://ca.example", "--key-file", &own], "https"),
        (vec!["--url", "ftp://ca.example", "--key-file", &own], "no URL"),
        (vec!["--url", &format!("http://{closed}"), "--key-file", &own], &closed),
        (vec!["read", "../../x", "--url", &server.url, "--key-file", &own], "no id"),
        (vec!["read", "", "--url", &server.url, "--key-file", &own], "no id"),
        (vec!["read", "9007199254740993", "--url", &server.url, "--key-file", &own], "404"),
    ] {
        let said = inbox(&arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert!(!said.contains("kak_live"), "{said}");
    }
    for arguments in [
        &["inbox", "read"][..],
        &["inbox", "read", "1", "--all"],
        &["inbox", "--severity", "loud"],
        &["inbox", "--limit", "0"],
    ] {
        assert_eq!(kakunin(arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn it_trusts_whom_it_is_told_to_trust() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout tls.key -out tls.pem \
                -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    run("openssl", &line.split_whitespace().collect::<Vec<_>>(), folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (tls, key) = (at("tls.pem"), at("tls.key"));
    let server = start(&data, &["--tls-cert", &tls, "--tls-key", &key]);
    let mut asked = Asked::new(&server, &data);
    asked.ca = vec!["--cacert".to_owned(), tls.clone()];
    asked.hold(&asked.certified());
    let own = data.join("admin.key").display().to_string();
    let known = ["inbox", "--url", &server.url, "--key-file", &own];
    assert_eq!(said(&[&known[..], &["--ca", &tls]].concat(), &[])[1], "1 unread");
    let stranger = refused(&known);
    assert!(stranger.contains("nobody who is trusted here issued it"), "{stranger}");
}
