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
use kakunin_core::x509::pem;
use kakunin_verify::possession::CertificateEncoding;
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

/// What the server says of a request behind its gateway: the status, and why it would be another.
fn asked(server: &Watched, certificate: &str, target: &str) -> (String, String) {
    let head = server.data.join("head").display().to_string();
    let certificate = format!("x-client-cert: {certificate}");
    let (action, uri) = ("x-kakunin-action: write:payments", format!("x-original-uri: {target}"));
    let fields = ["-H", &certificate, "-H", action, "-H", &uri, "-H", "x-original-method: GET"];
    let url = format!("{}/api/v1/gateway/auth", server.url);
    let (status, body) = curl(&[&["-D", &head], &fields[..], &[&*url]].concat());
    let head = fs::read_to_string(&head).unwrap();
    let would = head.lines().find_map(|line| line.strip_prefix("x-kakunin-dry-run: ").map(str::to_owned));
    (status, would.unwrap_or_else(|| body["code"].as_str().unwrap_or_default().to_owned()))
}

#[test]
fn a_dry_run_is_warned_of_at_each_start_and_over_when_it_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kakunin.toml");
    let write = |more: &str| {
        let text =
            format!("listen = \"127.0.0.1:0\"\nlog-json = true\ngateway = [\"127.0.0.1=nginx\"]\n{more}");
        fs::write(&file, text).unwrap();
    };
    let on =
        "insecure-dry-run-tenant = [\"default\", \"ghost\"]\ninsecure-dry-run-route = [\"GET /reports/*\"]\n";
    write(on);
    let server = Watched::start(folder.path(), &["--config", file.to_str().unwrap()], &[]);
    let warned = |server: &Watched| {
        server.said_with("--insecure-dry-run-tenant is in force", |fields| fields["tenant"] == "default");
        server.said_with("--insecure-dry-run-route is in force", |f| f["route"] == "GET /reports/*");
    };
    warned(&server);
    server
        .said_with("--insecure-dry-run-tenant names a tenant that is not there", |f| f["tenant"] == "ghost");
    let id = server.agent("one");
    let made = server.post(&format!("/api/v1/agents/{id}/certify"), &json!({})).1;
    let serial = made["data"]["serial_number"].as_str().unwrap();
    let pem = made["data"]["certificate_pem"].as_str().unwrap();
    let escaped = CertificateEncoding::UrlPem.write(&pem::decode(pem::CERTIFICATE, pem).unwrap());
    let would = |code: &str| ("200".to_owned(), format!("would-deny; code={code}"));
    let no = |code: &str| ("403".to_owned(), code.to_owned());
    assert_eq!(asked(&server, &escaped, "/pay"), would("scope_violation"));
    let line = server.said_with("a dry run lets through", |fields| fields["code"] == "scope_violation");
    let fields = &line["fields"];
    assert_eq!((&fields["tenant"], &fields["agent"]), (&json!("default"), &json!(id)));
    assert_eq!((&fields["method"], &fields["path"]), (&json!("GET"), &json!("/pay")));
    let revoke = format!("/api/v1/certificates/{serial}/revoke");
    assert_eq!(server.post(&revoke, &json!({ "reason": "key_compromise" })).0, "200");
    assert_eq!(asked(&server, &escaped, "/pay"), would("agent_revoked"));
    let nobody = asked(&server, "", "/reports/1?token=secret");
    assert_eq!(nobody, would("missing_cert_serial"));
    server.said_with("a dry run lets through", |f| {
        f["code"] == "missing_cert_serial" && f["path"] == "/reports/1"
    });
    let metrics = server.get("/metrics").1;
    assert_eq!(figure(&metrics, "kakunin_gateway_dry_runs"), 3.0);
    assert_eq!(figure(&metrics, "kakunin_gateway_dry_run_total{code=\"agent_revoked\"}"), 1.0);
    // Once it is out, the same requests are refused.
    write("insecure-dry-run-route = [\"GET /reports/*\"]\n");
    server.signal("HUP");
    server.said_with("the configuration was read again", |f| f["changed"] == "insecure-dry-run-tenant");
    assert_eq!(asked(&server, &escaped, "/pay"), no("agent_revoked"));
    assert_eq!(asked(&server, &escaped, "/reports/1"), would("agent_revoked"));
    // A file that is refused changes nothing.
    for wrong in ["insecure-dry-run-route = [\"/a/../b\"]\n", "insecure-dry-run-tenant = [\"No Tenant\"]\n"] {
        let before = times(&server, "is refused: everything stays");
        write(wrong);
        server.signal("HUP");
        until("it is refused", || times(&server, "is refused: everything stays") > before);
        assert_eq!(asked(&server, &escaped, "/reports/1"), would("agent_revoked"));
    }
    let before = times(&server, "--insecure-dry-run-route is in force");
    write("insecure-dry-run-route = [\"/reports/*\"]\n");
    server.signal("HUP");
    until("it is warned of", || times(&server, "--insecure-dry-run-route is in force") > before);
    write("");
    server.signal("HUP");
    until("it is over", || asked(&server, &escaped, "/reports/1") == no("agent_revoked"));
    assert_eq!(figure(&server.get("/metrics").1, "kakunin_gateway_dry_runs"), 0.0);
    let lines = server.end_with_lines();
    assert!(!lines.iter().any(|line| line.contains("token=secret")), "a query may hold secrets");
    // The next start says it again, whoever names it.
    let flags = ["--log-json", "--insecure-dry-run-route", "GET /reports/*,/b"];
    let server = Watched::start(folder.path(), &flags, &[("KAKUNIN_INSECURE_DRY_RUN_TENANT", "default")]);
    warned(&server);
    server.said_with("--insecure-dry-run-route is in force", |f| f["route"] == "* /b");
    let data = folder.path().join("other").display().to_string();
    for wrong in ["GET reports", "/a/../b", "get /a", "/*/a", ""] {
        let flags = ["serve", "--data", &data, "--insecure-dry-run-route", wrong];
        let out = kakunin(&flags).output().unwrap();
        assert!(!out.status.success(), "{wrong}");
        let said = String::from_utf8(out.stderr).unwrap();
        assert!(said.contains("--insecure-dry-run-route") && said.contains("not a route"), "{said}");
    }
}
