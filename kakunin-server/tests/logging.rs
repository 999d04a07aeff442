//! The log of the real binary: what it says, in which form, and that nothing waits for it or fails with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;
mod watched;

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use binary::{MODEL, curl, kakunin, run};
use serde_json::{Value, json};
use watched::{Watched, figure};

/// Once there is room again, what was refused is done.
fn until_made(server: &Watched, body: &Value) {
    let began = Instant::now();
    while server.post("/api/v1/agents", body).0 != "201" {
        assert!(began.elapsed() < Duration::from_secs(10), "it does not recover");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// An agent that is certified, revoked, and refused afterwards.
fn life(server: &Watched) -> (String, String) {
    let agent = server.agent("one");
    let serial = server.certify(&agent);
    let revoked =
        server.post(&format!("/api/v1/certificates/{serial}/revoke"), &json!({"reason": "keyCompromise"}));
    assert_eq!(revoked.0, "200", "{}", revoked.1);
    (agent, serial)
}

#[test]
fn a_log_that_cannot_be_written_costs_no_answer() {
    let nobody_reads = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for (what, stderr) in [("a pipe that is closed", nobody_reads()), ("a full disk", full())] {
        let folder = tempfile::tempdir().unwrap();
        let server = Watched::start_into(folder.path(), &["--log-level", "debug"], &[], stderr);
        life(&server);
        assert!(server.get("/healthz").0 == "200" && server.get("/nothing").0 == "404");
        let metrics = server.get("/metrics").1;
        assert!(figure(&metrics, "kakunin_log_lines_lost_total") > 3.0, "{what}: {metrics}");
        let ready = server.get("/readyz").1;
        assert_eq!((&ready["log_written"], &ready["status"]), (&json!(false), &json!("degraded")), "{what}");
        assert_eq!(ready["reasons"], json!(["log_not_written"]), "{what}");
        assert!(server.end().success(), "{what}");
    }
    // Nothing at all in its place.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let script = "exec \"$0\" serve --data \"$1\" --listen 127.0.0.1:0 --log-level debug 2>&-";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_kakunin"), &data]).stdout(Stdio::piped());
    let server = Watched::of(command.env_remove("KAKUNIN_DATA").spawn().unwrap(), folder.path());
    life(&server);
    assert!(server.end().success());
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let server = Watched::start_into(folder.path(), &["--log-level", "debug"], &[], Stdio::from(writer));
    // A pipe holds 64 KiB, and 40,000 lines are more than what waits, too.
    for _ in 0..4 {
        let asked = format!("{}/{}/[1-10000]", server.url, "x".repeat(400));
        let done = Command::new("curl")
            .args(["-sS", "--max-time", "100", "-o", "/dev/null", &asked])
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert!(figure(&server.get("/metrics").1, "kakunin_log_lines_lost_total") > 0.0);
    // Once somebody does, the log says how much it lacks, and every line is whole.
    let reading = std::thread::spawn(move || {
        let (mut text, mut reader) = (String::new(), reader);
        reader.read_to_string(&mut text).unwrap();
        text
    });
    std::thread::sleep(Duration::from_secs(1));
    life(&server);
    let began = Instant::now();
    assert!(server.end().success() && began.elapsed() < Duration::from_secs(5));
    let text = reading.join().unwrap();
    assert!(text.contains("lines of this log were lost"), "{}", &text[text.len() - 2_000..]);
    assert!(text.lines().all(|line| line.starts_with("20")), "half a line");
}

#[test]
fn an_end_waits_for_no_reader() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let server = Watched::start_into(folder.path(), &["--log-level", "debug"], &[], Stdio::from(writer));
    let asked = format!("{}/{}/[1-1000]", server.url, "x".repeat(400));
    run("curl", &["-sS", "-o", "/dev/null", &asked], folder.path());
    let began = Instant::now();
    assert!(server.end().success() && began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    drop(reader);
}

#[test]
fn what_happens_to_an_agent_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let server = Watched::start(folder.path(), &["--log-json"], &[]);
    let (agent, serial) = life(&server);
    let line = server.said("certificate issued");
    assert_eq!((&line["level"], &line["fields"]["agent"]), (&json!("INFO"), &json!(agent)), "{line}");
    assert_eq!((&line["fields"]["serial"], &line["fields"]["tenant"]), (&json!(serial), &json!("default")));
    let line = server.said("certificate revoked");
    let fields = &line["fields"];
    assert_eq!((&fields["cause"], &fields["serial"]), (&json!("key_compromise"), &json!(serial)), "{line}");
    assert!(fields["by"].as_str().unwrap().starts_with("key:"), "{line}");
    let other = server.agent("two");
    let serial = server.certify(&other);
    let at = |what: &str| format!("/api/v1/certificates/{serial}/{what}");
    assert_eq!(server.post(&at("hold"), &json!({})).0, "200");
    assert_eq!(server.said("certificate held")["fields"]["serial"], json!(serial));
    assert_eq!(server.post(&at("release"), &json!({})).0, "200");
    assert_eq!(server.said("certificate released")["fields"]["serial"], json!(serial));
    // By the request that it was asked for with.
    let body = json!({"reason": "kill_switch_activated", "operator_note": "a\nb"});
    let (id, halted) = server.post_named(&format!("/api/v1/agents/{other}/halt"), &body);
    assert_eq!(halted.0, "200", "{}", halted.1);
    let line = server.said("agent halted");
    assert_eq!(
        (&line["fields"]["request_id"], &line["fields"]["agent"]),
        (&json!(id), &json!(other)),
        "{line}"
    );
    assert_eq!(server.said_of("certificate revoked", &other)["fields"]["cause"], "kill_switch_activated");
    let body = json!({"reason": "it was mended"});
    assert_eq!(server.post(&format!("/api/v1/agents/{other}/reinstate"), &body).0, "200");
    assert_eq!(server.said("agent reinstated")["fields"]["agent"], json!(other));
    // By itself: what it is refused raises its score.
    let (third, mut revoked) = (server.agent("three"), false);
    let serial = server.certify(&third);
    for n in 0..400 {
        let event = json!({"certificate_serial": serial, "action": "delete:payments", "outcome": "denied",
            "client_id": format!("e{n}"), "out_of_scope": true});
        let (status, answer) = server.post("/api/v1/events", &event);
        if status != "201" {
            revoked = status == "422";
            assert!(revoked, "{status} {answer}");
            break;
        }
    }
    assert!(revoked, "it was never revoked");
    let line = server.said_of("certificate revoked", &third);
    let fields = &line["fields"];
    assert_eq!(
        (&line["level"], &fields["cause"]),
        (&json!("WARN"), &json!("risk_threshold_exceeded")),
        "{line}"
    );
    assert!(fields["score"].as_f64().unwrap() >= 0.85 && fields["request_id"].is_string(), "{line}");
    let line = server.said_of("risk band changed", &third);
    assert!(line["fields"]["from"].is_string() && line["fields"]["to"].is_string(), "{line}");
    let lines = server.end_with_lines();
    assert!(lines.len() > 8);
    for line in lines {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["fields"].is_object());
    }
}

/// However many it holds.
#[test]
fn a_breaker_that_tripped_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Watched::start(folder.path(), &["--log-json"], &[]);
    let serials: Vec<_> = (0..4).map(|n| server.certify(&server.agent(&format!("desk {n}")))).collect();
    let fails = |serial: &String| {
        json!({"serial": serial, "action": "read:mail", "outcome": "denied", "auth_failure": true,
            "target": "payments-api"})
    };
    for _ in 0..60 {
        let events: Vec<_> = serials.iter().map(fails).collect();
        server.post("/api/v1/events/batch", &json!({ "events": events }));
    }
    let line = server.said("certificate held");
    assert!(line["fields"]["score"].as_f64().unwrap() >= 0.85, "{line}");
    let metrics = server.get("/metrics").1;
    assert_eq!(figure(&metrics, "kakunin_breakers_tripped"), 1.0);
    assert_eq!(figure(&metrics, "kakunin_breaker_holds_total"), 4.0);
    assert_eq!(figure(&metrics, "kakunin_automatic_revocations_total"), 0.0);
    assert_eq!(server.get("/readyz").1["reasons"], json!([]));
    let lines = server.end_with_lines();
    let tripped: Vec<_> = lines.iter().filter(|line| line.contains("the breaker tripped")).collect();
    assert!(tripped.len() == 1 && tripped[0].contains("WARN"), "{tripped:?}");
    assert!(!lines.concat().contains("payments-api"), "names of targets are the tenant's");
}

#[test]
fn failed_authentication_is_told_once_a_minute_and_address_with_how_many_were_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = Watched::start(folder.path(), &["--log-json", "--trusted-proxy", "127.0.0.1"], &[]);
    let url = format!("{}/api/v1/agents", server.url);
    for n in 0..20 {
        assert_eq!(curl(&["-H", &format!("authorization: Bearer kak_live_{n}"), &url]).0, "401");
    }
    assert_eq!(curl(&["-H", "x-forwarded-for: 192.0.2.7", &url]).0, "401");
    let key = "x".repeat(40);
    let body = json!({"join_token": key, "csr": "x"}).to_string();
    let enrol = format!("{}/api/v1/enroll", server.url);
    let asked =
        ["-H", "x-forwarded-for: 192.0.2.8", "-H", "content-type: application/json", "-d", &body, &enrol];
    assert_eq!(curl(&asked).0, "401");
    server.said_with("authentication failed", |fields| fields["address"] == "192.0.2.8");
    let metrics = server.get("/metrics").1;
    assert!(figure(&metrics, "kakunin_authentications_failed_total") >= 22.0, "{metrics}");
    let lines = server.end_with_lines();
    assert!(!lines.concat().contains("kak_live_"), "no key in the log");
    let failed: Vec<Value> = lines
        .iter()
        .filter(|line| line.contains("authentication failed"))
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone())
        .collect();
    assert_eq!(failed.len(), 4, "three addresses, and what was left out of the first: {failed:?}");
    assert!(failed.iter().all(|f| f["code"].is_string() || f["left_out"].is_number()), "{failed:?}");
    assert_eq!(failed[0]["code"], "api_key_invalid");
    assert!(failed[0]["request_id"].as_str().unwrap().len() == 32 && failed[0]["address"] == "127.0.0.1");
    assert_eq!(failed[1]["code"], "api_key_missing");
    // At the end at the latest.
    assert_eq!(
        (&failed[3]["address"], &failed[3]["left_out"]),
        (&json!("127.0.0.1"), &json!(19)),
        "{failed:?}"
    );
}

#[test]
fn no_value_breaks_a_line() {
    let name = "KAKUNIN_\u{202e}LISTEN\nERROR forged \u{2028}\u{85}\u{1b}[31m";
    for form in [&["--log-json"][..], &[]] {
        let folder = tempfile::tempdir().unwrap();
        let server = Watched::start(folder.path(), form, &[(name, "x")]);
        let lines = server.end_with_lines();
        let hostile = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
        assert!(lines.iter().any(|line| line.contains("forged")), "{lines:?}");
        for line in &lines {
            assert!(!line.starts_with("ERROR") && !line.contains(hostile), "{line:?}");
            if !form.is_empty() {
                let line: Value = serde_json::from_str(line).unwrap();
                let variable = &line["fields"]["variable"];
                assert!(variable.is_null() || *variable == json!(name), "as it is, to who reads JSON");
            }
        }
    }
}

#[test]
fn in_json_what_keeps_it_from_starting_is_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (file, data, odd) = (at("kakunin.toml"), at("data"), at("no\nfile"));
    std::fs::write(&file, "log-json = true\nlisten = \"nowhere\"\nport = 1\n").unwrap();
    for (arguments, says) in [
        (&["serve", "--log-json", "--no-such-flag"][..], "no-such-flag"),
        (&["serve", "--log-json", "--listen", "x y"], "x y"),
        (&["serve", "--log-json"], "--data"),
        (&["serve", "--log-json", "--data", &data, "--tls-cert", &odd, "--tls-key", &odd], "TLS files"),
        (&["serve", "--config", &file, "--data", &data], "kakunin.toml"),
    ] {
        let done = kakunin(arguments).output().unwrap();
        let text = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && text.lines().count() == 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"));
        assert!(
            line["fields"]["message"].as_str().unwrap().contains(says) && line["level"] == "ERROR",
            "{line}"
        );
    }
    let done = kakunin(&["serve", "--data"]).env("KAKUNIN_LOG_JSON", "true").output().unwrap();
    assert!(serde_json::from_slice::<Value>(&done.stderr).is_ok() && done.status.code() == Some(2));
}

/// Is no test: what [`a_panic_is_a_line`] starts.
#[test]
fn child_that_panics() {
    let Ok(form) = std::env::var("TEST_PANICS_IN") else { return };
    let log = kakunin_server::logging::start(kakunin_server::logging::Level::Info, form == "json");
    let ended = std::thread::Builder::new().name("worker".into()).spawn(|| panic!("two\nlines")).unwrap();
    assert!(ended.join().is_err());
    drop(log);
}

#[test]
fn a_panic_is_a_line() {
    for form in ["json", "text"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child_that_panics", "--nocapture"]).env("TEST_PANICS_IN", form);
        let done = command.output().unwrap();
        let text = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success() && text.lines().count() == 1, "{text}");
        assert!(text.contains("two\\nlines") && text.contains("logging.rs"), "{text}");
        let json = serde_json::from_str::<Value>(&text);
        assert_eq!(json.is_ok(), form == "json", "{text}");
        // Nor does it fail where there is nothing to write to.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert!(command.stderr(writer).status().unwrap().success());
    }
}

#[test]
fn a_command_whose_reader_is_gone_says_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root").display().to_string();
    let secret = folder.path().join("secret").display().to_string();
    let init = ["ca", "init", "--root", &root, "--key-file", &secret, "--public-url", "https://ca.example"];
    for arguments in [&["openapi"][..], &["--help"], &["serve", "--help"], &["--version"], &init] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = kakunin(arguments).stdout(writer).output().unwrap();
        assert!(done.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert_ne!(done.status.code(), Some(101), "{arguments:?}");
    }
    // What goes wrong with nobody to tell still ends as it does otherwise.
    for arguments in [
        &["serve"][..],
        &["replay", "no-such-file.gz"],
        &["no-such-command"],
        &["crl-sync", "--once", "--url", "http://127.0.0.1:1", "--out", "x", "--ca", "no-such-file"],
    ] {
        let expected = kakunin(arguments).output().unwrap().status.code();
        assert!(expected == Some(1) || expected == Some(2));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = kakunin(arguments).stderr(writer).status().unwrap();
        assert_eq!(done.code(), expected, "{arguments:?}");
    }
}

#[test]
fn a_line_that_was_cut_off_is_ended_before_the_next() {
    // A limit on the size of files stands for a disk that fills up in the middle of a line, and has room again.
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let data = folder.path().join("data").display().to_string();
    let script =
        "trap '' XFSZ; exec \"$0\" serve --data \"$1\" --listen 127.0.0.1:0 --log-level debug 2>\"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_kakunin"), &data, log.to_str().unwrap()]);
    let child = command.env_remove("KAKUNIN_DATA").stdout(Stdio::piped()).spawn().unwrap();
    let server = Watched::of(child, folder.path());
    let pid = server.child().to_string();
    let limit = |octets: &str| {
        run("prlimit", &["--pid", &pid, &format!("--fsize={octets}:unlimited")], Path::new("/"))
    };
    let ask = |n: usize| (0..n).for_each(|_| _ = server.get("/nothing/that/is/there"));
    ask(3);
    std::thread::sleep(Duration::from_millis(300));
    let at = std::fs::metadata(&log).unwrap().len() + 130;
    limit(&at.to_string());
    ask(5);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(std::fs::metadata(&log).unwrap().len(), at, "cut off in the middle");
    // Neither the store nor the log can be written: that is said as it is, and is no fault of the server's.
    let body = json!({"name": "late", "model_hash": MODEL});
    let refused = server.post("/api/v1/agents", &body);
    assert!(["503", "507"].contains(&&*refused.0), "{} {}", refused.0, refused.1);
    limit("unlimited");
    ask(3);
    until_made(&server, &body);
    assert!(server.end().success());
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("20")), "{text}");
    assert!(text.contains("lines of this log were lost"), "{text}");
}
