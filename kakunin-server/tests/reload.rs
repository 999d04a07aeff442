//! The real binary: told to read its configuration again, and what it warns of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;
mod watched;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use binary::{curl, kakunin, off, ran, run};
use serde_json::{Value, json};
use watched::{Watched, figure};

/// A pair for this name, made now or by a clock that is off by so much, that is valid for so many days.
fn pair(folder: &Path, made: &str, days: &str, name: &str) -> [String; 2] {
    let at = |file: &str| folder.join(file).display().to_string();
    let (san, [cert, key]) = (format!("subjectAltName={name}"), [at("tls.pem"), at("tls.key")]);
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let of = ["-subj", "/CN=x", "-days", days, "-addext", &san, "-keyout", &key, "-out", &cert];
    ran(Command::new("openssl").args(new).args(of).envs(off(made)));
    [cert, key]
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// How many times the log has this message.
fn times(server: &Watched, message: &str) -> usize {
    server.lines().iter().filter(|line| line.contains(message)).count()
}

fn until(what: &str, is: impl Fn() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(15), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sighup_reads_the_configuration_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kakunin.toml");
    let write = |more: &str| {
        fs::write(&file, format!("listen = \"127.0.0.1:0\"\nlog-json = true\n{more}")).unwrap();
    };
    write("");
    let server = Watched::start(folder.path(), &["--config", file.to_str().unwrap()], &[]);
    let failed_as = |from: &str| {
        let url = format!("{}/api/v1/agents", server.url);
        assert_eq!(curl(&["-H", &format!("x-forwarded-for: {from}"), &url]).0, "401");
    };
    // A connection that is open sees it, too.
    write("trusted-proxy = [\"127.0.0.1\"]\nlog-level = \"debug\"\nkey-rate = 1\n");
    server.signal("HUP");
    let line = server.said_with("the configuration was read again", |f| f["changed"] != "nothing");
    assert_eq!(line["fields"]["changed"], "trusted-proxy, key-rate, log-level", "{line}");
    failed_as("192.0.2.9");
    server.said_with("authentication failed", |fields| fields["address"] == "192.0.2.9");
    server.said("request");
    let answers: Vec<_> = (0..4).map(|_| server.get("/api/v1/agents").0).collect();
    assert!(answers.contains(&"429".to_owned()), "{answers:?}");
    // What cannot change is named, and stays; what can, does.
    write(
        "trusted-proxy = [\"127.0.0.1\"]\npublic-url = \"https://other.example\"\nrenewal-grace = 7\nkeep-alive = 5\n",
    );
    server.signal("HUP");
    let line = server.said("these take a restart");
    assert_eq!(line["fields"]["keys"], "public-url, renewal-grace", "{line}");
    let line = server.said_with("the configuration was read again", |f| {
        f["changed"].as_str().is_some_and(|c| c.contains("keep-alive"))
    });
    assert_eq!(line["fields"]["changed"], "key-rate, keep-alive, log-level", "{line}");
    assert_eq!(server.get("/api/v1/ca").1["data"]["public_url"], json!(server.url));
    // One that is refused changes nothing: not even what is right in it.
    for (text, says) in [
        ("trusted-proxy = []\nport = 1\n", "`port` is not known here"),
        ("trusted-proxy = [\"10.0.0.0/99\"]\n", "10.0.0.0/8"),
        ("trusted-proxy = [\ntls", "unclosed array"),
        ("trusted-proxy = []\nlisten = \"0.0.0.0:1\"\n", "duplicate key"),
        ("trusted-proxy = []\npublic-url = \"ca.example\"\n", "--public-url"),
    ] {
        let before = times(&server, "is refused: everything stays");
        write(text);
        server.signal("HUP");
        until(says, || times(&server, "is refused: everything stays") > before);
        let last =
            server.lines().into_iter().rfind(|line| line.contains("is refused: everything stays")).unwrap();
        assert!(last.contains("\"ERROR\"") && last.contains(says), "{last}");
    }
    failed_as("192.0.2.10");
    server.said_with("authentication failed", |fields| fields["address"] == "192.0.2.10");
    fs::remove_file(&file).unwrap();
    server.signal("HUP");
    server.said_with("the configuration was read again and is refused", |fields| {
        fields["error"].as_str().is_some_and(|error| error.contains("cannot read"))
    });
    // Many at once, and at the end.
    write("trusted-proxy = [\"127.0.0.1\"]\n");
    let before = times(&server, "read again\"");
    (0..20).for_each(|_| server.signal("HUP"));
    until("it is read", || times(&server, "read again\"") > before);
    assert_eq!(server.get("/healthz").0, "200");
    server.signal("TERM");
    server.signal("HUP");
    for line in server.end_with_lines() {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
}

#[test]
fn sighup_takes_another_pair_or_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = |name: &str| {
        let place = folder.path().join(name);
        fs::create_dir(&place).unwrap();
        pair(&place, "+0d", "365", &format!("DNS:{name}.example,IP:127.0.0.1"))
    };
    let (one, two) = (pairs("one"), pairs("two"));
    let file = folder.path().join("kakunin.toml");
    let write = |[cert, key]: [&str; 2], more: &str| {
        let text = format!("listen = \"127.0.0.1:0\"\ntls-cert = {cert:?}\ntls-key = {key:?}\n{more}");
        fs::write(&file, text).unwrap();
    };
    write([&one[0], &one[1]], "");
    let server = Watched::start(folder.path(), &["--log-json", "--config", file.to_str().unwrap()], &[]);
    let is = |name: &str, cert: &str| {
        let port = server.url.rsplit(':').next().unwrap();
        let host = format!("{name}.example");
        let url = format!("https://{host}:{port}/healthz");
        curl(&["--cacert", cert, "--resolve", &format!("{host}:{port}:127.0.0.1"), &url]).0 == "200"
    };
    assert!(is("one", &one[0]) && !is("two", &two[0]));
    write([&two[0], &two[1]], "client-certificates = true\n");
    server.signal("HUP");
    let line = server.said_with("the configuration was read again", |f| f["changed"] != "nothing");
    assert_eq!(line["fields"]["changed"], "tls-cert, client-certificates");
    assert!(is("two", &two[0]) && !is("one", &one[0]));
    // Who shows a certificate of somebody else's is told of, like who shows a key.
    let stranger = ["-k", "--cert", &one[0], "--key", &one[1], &format!("{}/healthz", server.url)];
    assert_ne!(curl(&stranger).0, "200");
    server.said_with("authentication failed", |fields| fields["code"] == "client_certificate_invalid");
    // Half of one and half of the other is none.
    write([&one[0], &two[1]], "trusted-proxy = [\"127.0.0.1\"]\n");
    server.signal("HUP");
    server.said_with("the configuration was read again and is refused", |f| {
        f["error"].as_str().is_some_and(|error| error.contains("TLS files"))
    });
    assert!(is("two", &two[0]));
    // Other content of the same files is taken at once, not in five seconds.
    write([&two[0], &two[1]], "client-certificates = true\n");
    for (old, new) in two.iter().zip(&one) {
        fs::copy(new, old).unwrap();
    }
    server.signal("HUP");
    server.said_with("the configuration was read again", |f| f["changed"] == "what is in the TLS files");
    assert!(is("one", &one[0]));
    fs::write(&file, "listen = \"127.0.0.1:0\"\n").unwrap();
    server.signal("HUP");
    assert_eq!(server.said("these take a restart")["fields"]["keys"], "tls-cert");
    assert!(is("one", &one[0]) && server.end().success());
}

#[test]
fn sighup_ends_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let arguments = ["serve", "--data", &data, "--listen", "127.0.0.1:0", "--log-json"];
    let child = kakunin(&arguments).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    // From when it listens for signals on; a deployment is made after that.
    until("it listens for SIGHUP", || {
        let text = fs::read_to_string(&status).unwrap();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & 1 == 1
    });
    let pid = child.id().to_string();
    run("kill", &["-HUP", &pid], folder.path());
    run("kill", &["-HUP", &pid], folder.path());
    let server = Watched::of(child, folder.path());
    assert_eq!(server.said("the configuration was read again")["fields"]["changed"], "nothing");
    assert!(server.get("/healthz").0 == "200" && server.end().success());
}

#[test]
fn a_tls_pair_that_clients_refuse_is_warned_of() {
    for (when, days, name, message, status) in [
        ("-30d", "10", "IP:127.0.0.1", "the TLS certificate has expired", "expired"),
        ("+3d", "300", "IP:127.0.0.1", "the TLS certificate is not valid yet", "not_yet_valid"),
        ("-80d", "90", "IP:127.0.0.1", "the TLS certificate ends soon", "ending"),
        ("+0d", "90", "DNS:other.example", "the TLS certificate is for another name", "good"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let [cert, key] = pair(folder.path(), when, days, name);
        let server =
            Watched::start(folder.path(), &["--log-json", "--tls-cert", &cert, "--tls-key", &key], &[]);
        let line = server.said(message);
        assert!(line["level"] == "WARN" || line["level"] == "ERROR");
        let ready = server.get("/readyz").1;
        assert_eq!((&ready["tls_status"], ready["tls_ends"].is_string()), (&json!(status), true), "{ready}");
        assert_eq!(ready["status"] == "ok", status == "good", "{ready}");
        assert_eq!(ready["reasons"] == json!(["tls_certificate"]), status != "good", "{ready}");
        let metrics = server.get("/metrics").1;
        let left = figure(&metrics, "kakunin_tls_expires_seconds");
        assert_eq!(left < 0.0, status == "expired", "{left}");
        assert_eq!(figure(&metrics, "kakunin_tls_names_public_url") == 0.0, name.starts_with("DNS"));
        // Another pair is noticed by itself, and by a signal at once.
        pair(folder.path(), "+0d", "90", "IP:127.0.0.1");
        server.signal("HUP");
        if status != "good" {
            server.said("the TLS certificate is good again");
        }
        assert_eq!(server.get("/readyz").1["tls_status"], "good");
        assert_eq!(figure(&server.get("/metrics").1, "kakunin_tls_names_public_url"), 1.0);
        assert_eq!(times(&server, message), 1, "said once");
    }
}

#[test]
fn secrets_that_others_can_read_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = pair(folder.path(), "+0d", "90", "IP:127.0.0.1");
    mode(Path::new(&key), 0o640);
    let server = Watched::start(folder.path(), &["--log-json", "--tls-cert", &cert, "--tls-key", &key], &[]);
    assert_eq!(figure(&server.get("/metrics").1, "kakunin_files_exposed"), 0.0, "a group may read TLS keys");
    mode(Path::new(&key), 0o644);
    mode(&server.data.join("admin.key"), 0o640);
    for path in [Path::new(&key), &server.data.join("admin.key")] {
        let line =
            server.said_with("others can read this file", |fields| fields["path"] == path.to_str().unwrap());
        assert_eq!(line["level"], "WARN");
    }
    assert_eq!(figure(&server.get("/metrics").1, "kakunin_files_exposed"), 2.0);
    mode(Path::new(&key), 0o600);
    until("it was put right", || figure(&server.get("/metrics").1, "kakunin_files_exposed") == 1.0);
    assert_eq!(times(&server, "others can read"), 2, "each once");
    assert!(server.end().success());
    // And at the start.
    let server = Watched::start(folder.path(), &["--log-json"], &[]);
    server.said_with("others can read this file", |f| f["path"].as_str().unwrap().ends_with("admin.key"));
}

#[test]
fn variables_that_are_not_known_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("KAKUNIN_TRUSTED_PROXIES", "kak_live_secret"),
        ("KAKUNIN_QUITE_ANOTHER", "1"),
        ("kakunin_key_rate", "5"),
        ("KAKUNIN_SERVICE_HOST", "10.0.0.1"),
        ("KAKUNIN_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("KAKUNIN_PORT", "tcp://10.0.0.1:8080"),
        ("KAKUNIN_KEY_RATE", "5"),
    ];
    let server = Watched::start(folder.path(), &["--log-json"], &environment);
    let said = |name: &str| server.said_with("this variable is not known", |f| f["variable"] == json!(name));
    assert_eq!(said("KAKUNIN_TRUSTED_PROXIES")["fields"]["nearest"], "KAKUNIN_TRUSTED_PROXY");
    assert!(said("KAKUNIN_QUITE_ANOTHER")["fields"]["nearest"].is_null());
    assert_eq!(said("kakunin_key_rate")["fields"]["nearest"], "KAKUNIN_KEY_RATE");
    let lines = server.end_with_lines().join("\n");
    assert_eq!(lines.matches("is not known").count(), 3, "{lines}");
    assert!(!lines.contains("kak_live_secret"));
}
