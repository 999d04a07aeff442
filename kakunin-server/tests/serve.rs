//! The binary: how it starts, what it refuses, how it ends, and TLS with certificates of agents.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use binary::{MODEL, curl, kakunin, refused, run, start};
use serde_json::Value;

#[test]
fn the_first_start_makes_a_deployment_and_later_ones_go_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut first = start(&data, &["--trust-domain", "agents.example", "--public-url", "https://ca.example"]);
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    assert!(
        key.starts_with("kak_live_") && !first.said.contains("kak_live_"),
        "not for journals: {}",
        first.said
    );
    assert!(first.said.contains(&data.join("admin.key").display().to_string()));
    for (path, mode) in [("", 0o700), ("admin.key", 0o600), ("key.secret", 0o600)] {
        let found = std::fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    let bearer = format!("authorization: Bearer {}", key.trim_end());
    let body = format!("{{\"name\":\"one\",\"model_hash\":\"{MODEL}\"}}");
    let agents = format!("{}/api/v1/agents", first.url);
    let made = curl(&["-H", &bearer, "-H", "content-type: application/json", "-d", &body, &agents]);
    assert_eq!(made.0, "201");
    // Told to end, it ends well.
    run("kill", &["-TERM", &first.child.id().to_string()], folder.path());
    assert!(first.child.wait().unwrap().success());
    let began = Instant::now();
    let second = start(&data, &[]);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert!(!second.said.contains("kak_live_") && second.said.lines().count() == 1, "{}", second.said);
    assert!(second.said.contains("agents.example"));
    let agents = format!("{}/api/v1/agents", second.url);
    assert_eq!(curl(&["-H", &bearer, &agents]).1["data"][0]["name"], "one");
    let ca = curl(&[&format!("{}/api/v1/ca", second.url)]).1;
    assert_eq!(ca["data"]["public_url"], "https://ca.example");
    // While it runs, nobody else may use the folder, and a changed identity is refused.
    let data_text = data.display().to_string();
    let base = ["serve", "--data", &data_text, "--listen", "127.0.0.1:0"];
    assert!(refused(&base).contains("another process"), "{}", refused(&base));
    drop(second);
    let other = refused(&[&base[..], &["--trust-domain", "other.example"]].concat());
    assert!(other.contains("trust domain is `agents.example`"), "{other}");
    std::fs::remove_file(data.join("key.secret")).unwrap();
    assert!(refused(&base).contains("key.secret is missing"));
}

#[test]
fn a_file_is_overridden_by_the_environment_and_that_by_flags() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let file = at("kakunin.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write(
        "trust-domain = \"file.example\"\nlisten = \"127.0.0.1:1\"\npublic-url = \"http://file.example\"\n",
    );
    let data = folder.path().join("data");
    let mut command = kakunin(&["serve", "--config", &file, "--listen", "127.0.0.1:0"]);
    let mut child =
        command.env("KAKUNIN_DATA", &data).env("KAKUNIN_TRUST_DOMAIN", "env.example").spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let ready = lines.into_iter().find(|line| line.contains("ready at")).unwrap();
    assert!(ready.contains("trust domain env.example") && !ready.contains("127.0.0.1:1,"), "{ready}");
    child.kill().unwrap();
    child.wait().unwrap();
    write("data = \"x\"\nport = 1\n");
    assert!(refused(&["serve", "--config", &file]).contains("line 2: `port` is not known here"));
    write("trusted-proxy = [\"10.0.0.0/99\"]");
    assert!(refused(&["serve", "--config", &file]).contains("10.0.0.0/8"));
    write("gateway = [\"10.0.0.5=apache\"]");
    assert!(refused(&["serve", "--config", &file]).contains("10.1.2.3=nginx"));
    write("gateway = [\"10.0.0.5=nginx\", \"::ffff:10.0.0.5=envoy\"]\ndata = \"x\"");
    assert!(refused(&["serve", "--config", &file]).contains("in another form"));
    write("authority = [\"user@host\"]");
    assert!(refused(&["serve", "--config", &file]).contains("api.example.org"));
    assert!(refused(&["serve", "--config", &at("none")]).contains("cannot read"));
    assert!(refused(&["serve"]).contains("--data"));
    assert!(refused(&["serve", "--data", &at("d"), "--tls-cert", "x"]).contains("go together"));
}

#[test]
fn what_is_insecure_is_refused_unless_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let open = ["serve", "--data", &data, "--listen", "0.0.0.0:0"];
    assert!(refused(&open).contains("--insecure-software-keys"));
    assert!(refused(&[&open[..], &["--insecure-software-keys"]].concat()).contains("--insecure-plain-http"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&["serve", "--data", &data, "--listen", &address]);
    assert!(said.contains(&address) && said.contains("another server"), "{said}");
    assert!(!Path::new(&data).exists(), "nothing was begun");
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let file = folder.path().join("file").display().to_string();
    assert!(refused(&["serve", "--data", &file, "--listen", "127.0.0.1:0"]).contains("cannot use"));
    let bad = ["--tls-cert", &file, "--tls-key", &file];
    let said = refused(&[&["serve", "--data", &data, "--listen", "127.0.0.1:0"], &bad[..]].concat());
    assert!(said.contains("TLS files"), "{said}");
}

#[test]
fn a_name_of_this_machine_is_an_address_to_listen_at() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &["--listen", "localhost:0"]);
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    assert_eq!(curl(&[&format!("{}/healthz", server.url)]).0, "200");
    let port = server.url.rsplit(':').next().unwrap().to_owned();
    assert_eq!(curl(&[&format!("http://localhost:{port}/healthz")]).0, "200");
    drop(server);
    let file = folder.path().join("kakunin.toml");
    std::fs::write(&file, "listen = \"localhost\"\n").unwrap();
    let said = refused(&["serve", "--config", &file.display().to_string(), "--data", "x"]);
    assert!(said.contains("`localhost` is no address to listen at"), "{said}");
    let wrong = |arguments: &[&str]| {
        let out = kakunin(&[&["serve", "--data", "x"], arguments].concat()).output().unwrap();
        assert!(!out.status.success());
        String::from_utf8(out.stderr).unwrap()
    };
    let said = wrong(&["--listen", "localhost"]);
    assert!(said.contains("localhost:8080") && !said.contains("syntax"), "{said}");
    for flag in ["--key-rate", "--anonymous-rate", "--connections-per-address", "--keep-alive"] {
        let said = wrong(&[flag, "0"]);
        assert!(said.contains("`0` is not a whole number from 1 on") && !said.contains("non-zero"), "{said}");
    }
}

/// A server certificate for localhost, by a CA of the test's own.
fn tls_files(folder: &Path, name: &str) {
    let subject = format!("/CN={name}");
    let key =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let rest = [
        "-keyout",
        "tls.key",
        "-out",
        "tls.pem",
        "-subj",
        &subject,
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ];
    run("openssl", &[&key[..], &rest[..]].concat(), folder);
}

#[test]
fn an_agent_shows_itself_by_mutual_tls_and_files_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    tls_files(folder.path(), "first");
    let (cert, key) = (at("tls.pem"), at("tls.key"));
    let server = start(
        &folder.path().join("data"),
        &["--tls-cert", &cert, "--tls-key", &key, "--client-certificates"],
    );
    assert!(server.url.starts_with("https://"));
    let admin = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
    let bearer = format!("authorization: Bearer {}", admin.trim_end());
    let json = "content-type: application/json";
    let post = |path: &str, body: &str| {
        curl(&["--cacert", &cert, "-H", &bearer, "-H", json, "-d", body, &format!("{}{path}", server.url)])
    };
    let agent = format!("{{\"name\":\"one\",\"model_hash\":\"{MODEL}\",\"scope\":[\"read:mail\"]}}");
    let id = post("/api/v1/agents", &agent).1["data"]["id"].as_str().unwrap().to_owned();
    run(
        "openssl",
        &[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "agent.key",
            "-out",
            "agent.csr",
            "-subj",
            "/CN=x",
        ],
        folder.path(),
    );
    let csr = std::fs::read_to_string(folder.path().join("agent.csr")).unwrap();
    let (status, issued) =
        post(&format!("/api/v1/agents/{id}/certify"), &serde_json::json!({ "csr": csr }).to_string());
    assert_eq!(status, "201");
    let text = |name: &str| issued["data"][name].as_str().unwrap().to_owned();
    std::fs::write(folder.path().join("agent.pem"), text("certificate_pem") + &text("chain_pem")).unwrap();
    let (agent_pem, agent_key) = (at("agent.pem"), at("agent.key"));
    let check = |action: &str| {
        let body = format!("{{\"action\":\"{action}\"}}");
        let url = format!("{}/api/v1/gateway/check", server.url);
        curl(&["--cacert", &cert, "--cert", &agent_pem, "--key", &agent_key, "-H", json, "-d", &body, &url])
    };
    let (status, allowed) = check("read:mail");
    assert_eq!((status.as_str(), &allowed["data"]["attribution"]), ("200", &Value::from("possession")));
    assert_eq!(check("write:mail").1["error"], "scope_violation");
    std::fs::write(folder.path().join("agent.pem"), text("certificate_pem")).unwrap();
    assert_eq!(check("read:mail").0, "200", "its leaf alone");
    let serial = text("serial_number");
    post(&format!("/api/v1/certificates/{serial}/revoke"), "{\"reason\":\"key_compromise\"}");
    let (status, refusal) = check("read:mail");
    assert_eq!((status.as_str(), &refusal["error"]), ("403", &Value::from("agent_revoked")));
    // Somebody else's certificate does not get through the handshake.
    let (status, _) =
        curl(&["--cacert", &cert, "--cert", &cert, "--key", &key, &format!("{}/healthz", server.url)]);
    assert!(status.starts_with("000"), "{status}");
    tls_files(folder.path(), "second");
    let began = Instant::now();
    while !curl(&["--cacert", &cert, &format!("{}/healthz", server.url)]).0.starts_with("200") {
        assert!(began.elapsed() < Duration::from_secs(30), "the new certificate is not in use");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn tls_files_are_taken_by_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["one", "two", "three"] {
        std::fs::create_dir(at(name)).unwrap();
        tls_files(&at(name), name);
    }
    // As Kubernetes mounts a secret: the files are links through a link that is swapped.
    let point_to = |name: &str| {
        std::os::unix::fs::symlink(name, at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
    };
    point_to("one");
    for name in ["tls.pem", "tls.key"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), at(name)).unwrap();
        // Times say nothing.
        let same = |of: &str| at(of).join(name).display().to_string();
        for other in ["two", "three"] {
            run("touch", &["-r", &same("one"), &same(other)], folder.path());
        }
    }
    let text = |name: &str| at(name).display().to_string();
    let (cert, key) = (text("tls.pem"), text("tls.key"));
    let server = start(&at("data"), &["--tls-cert", &cert, "--tls-key", &key]);
    let serves = |name: &str| {
        let anchor = at(name).join("tls.pem").display().to_string();
        curl(&["--cacert", &anchor, &format!("{}/healthz", server.url)]).0 == "200"
    };
    let becomes = |name: &str| {
        let began = Instant::now();
        while !serves(name) {
            assert!(began.elapsed() < Duration::from_secs(30), "{name} is not in use");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    assert!(serves("one"));
    point_to("two");
    becomes("two");
    // A pair of which one half is there stays out, and so does half a file.
    let put = |name: &str, of: &str, length: usize| {
        let octets = std::fs::read(at(of).join(name)).unwrap();
        std::fs::write(at("new"), &octets[..length.min(octets.len())]).unwrap();
        std::fs::rename(at("new"), at("two.").join(name)).unwrap();
    };
    std::fs::create_dir(at("two.")).unwrap();
    put("tls.pem", "two", usize::MAX);
    put("tls.key", "two", usize::MAX);
    point_to("two.");
    put("tls.pem", "three", usize::MAX);
    std::thread::sleep(Duration::from_secs(6));
    assert!(serves("two") && !serves("three"), "half a pair");
    put("tls.key", "three", 60);
    std::thread::sleep(Duration::from_secs(6));
    assert!(serves("two"), "half a key");
    put("tls.key", "three", usize::MAX);
    becomes("three");
}

#[test]
fn a_lost_database_is_not_answered_with_a_new_deployment() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(start(&data, &["--ca-algorithm", "p256"]));
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let text = data.display().to_string();
    let serve = ["serve", "--data", &text, "--listen", "127.0.0.1:0"];
    let lost: &[&dyn Fn(&Path)] = &[
        &|database| assert!(!database.exists()),
        &|database| std::fs::write(database, "").unwrap(),
        &|database| {
            run("sqlite3", &["kakunin.db", "create table t (a)"], database.parent().unwrap());
        },
    ];
    for (n, leave) in lost.iter().enumerate() {
        for name in ["kakunin.db", "kakunin.db-wal", "kakunin.db-shm"] {
            let _ = std::fs::remove_file(data.join(name));
        }
        leave(&data.join("kakunin.db"));
        let said = refused(&serve);
        assert!(n == 2 || said.contains("not its database"), "{said}");
        for command in ["rotate", "request"] {
            refused(&["ca", command, "--data", &text]);
        }
    }
    // Neither when all but the keys is gone.
    std::fs::remove_file(data.join("kakunin.db")).unwrap();
    std::fs::rename(data.join("admin.key"), folder.path().join("kept")).unwrap();
    assert!(refused(&serve).contains("not its database"));
    assert_eq!(std::fs::read_to_string(folder.path().join("kept")).unwrap(), key);
    assert!(!data.join("admin.key").exists(), "no key was made");
}

#[test]
fn commands_that_change_a_deployment_make_none() {
    let folder = tempfile::tempdir().unwrap();
    let typo = folder.path().join("typo");
    let text = typo.display().to_string();
    let crl = folder.path().join("crl.pem");
    let pem = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    std::fs::write(&crl, pem).unwrap();
    for command in [
        &["ca", "rotate", "--data", &text][..],
        &["ca", "install-crl", "--data", &text, crl.to_str().unwrap()],
        &["admin-key", "--data", &text],
    ] {
        let said = refused(command);
        assert!(said.contains("holds no deployment"), "{command:?}: {said}");
        assert!(!typo.exists(), "{command:?} made a folder");
    }
}

#[test]
fn an_address_that_nobody_can_reach_is_not_written_into_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let open = ["serve", "--data", &data, "--insecure-software-keys", "--insecure-plain-http", "--listen"];
    for listen in ["0.0.0.0:0", "[::]:0"] {
        assert!(refused(&[&open[..], &[listen]].concat()).contains("--public-url"), "{listen}");
    }
    for bad in ["ca.example", "https://ca.example/", "http://", "https://ca.example/a%20b"] {
        let said = refused(&[&open[..], &["127.0.0.1:0", "--public-url", bad]].concat());
        assert!(said.contains(bad) && said.contains("--public-url") && !said.contains("another"), "{said}");
    }
    for (bad, why) in [
        ("http://0.0.0.0:8080", "nobody can reach"),
        ("https://[::]", "nobody can reach"),
        ("https://ca.example:0", "is not http(s)://host"),
        ("https://256.0.0.1", "is not http(s)://host"),
    ] {
        let said = refused(&[&open[..], &["127.0.0.1:0", "--public-url", bad]].concat());
        assert!(said.contains(bad) && said.contains(why), "{said}");
    }
    assert!(!Path::new(&data).join("admin.key").exists(), "nothing was made");
}

#[test]
fn two_deployments_that_have_names_are_not_of_one_trust_domain() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &["--ca-algorithm", "p256", "--public-url", "https://Kakunin.Example:8443/ca"]);
    assert!(server.said.contains("trust domain kakunin.example,"), "{}", server.said);
    drop(server);
    // It stays, wherever it is reached later.
    let again = start(&data, &[]);
    assert!(again.said.contains("trust domain kakunin.example,"), "{}", again.said);
    let local = start(&folder.path().join("local"), &["--ca-algorithm", "p256"]);
    assert!(local.said.contains("trust domain agents.localhost,"), "{}", local.said);
    let named =
        ["--ca-algorithm", "p256", "--public-url", "https://a.example", "--trust-domain", "b.example"];
    assert!(start(&folder.path().join("named"), &named).said.contains("trust domain b.example,"));
}
