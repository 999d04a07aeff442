//! nginx as it comes from the distribution, in front of things: with mutual TLS it refuses a revoked agent
//! because `kakunin crl-sync` keeps its CRLs, and it caches certificate cards for as long as they say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use binary::{MODEL, Server, curl, kakunin, run, start};
use serde_json::{Value, json};

const JSON: &str = "content-type: application/json";

/// A deployment, and a folder for everything else.
struct World {
    folder: tempfile::TempDir,
    server: Server,
    bearer: String,
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Told to end, nginx ends its workers too.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl World {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&folder.path().join("data"), &[]);
        let admin = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
        let bearer = format!("authorization: Bearer {}", admin.trim_end());
        Self { folder, server, bearer }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (url, body) = (format!("{}{path}", self.server.url), body.to_string());
        let (status, answer) = curl(&["-H", &self.bearer, "-H", JSON, "-d", &body, &url]);
        assert!(status.starts_with('2'), "{path}: {status} {answer}");
        answer["data"].clone()
    }

    /// An agent that keeps its key in `<name>.key`, its chain in `<name>.pem`; its serial number.
    fn agent(&self, name: &str) -> String {
        let line = format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN=x");
        run("openssl", &line.split(' ').collect::<Vec<_>>(), self.path());
        let csr = std::fs::read_to_string(self.at(&format!("{name}.csr"))).unwrap();
        let made = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
        let id = self.post("/api/v1/agents", &made)["id"].as_str().unwrap().to_owned();
        let issued = self.post(&format!("/api/v1/agents/{id}/certify"), &json!({ "csr": csr }));
        let text = |name: &str| issued[name].as_str().unwrap().to_owned();
        std::fs::write(self.at(&format!("{name}.pem")), text("certificate_pem") + &text("chain_pem"))
            .unwrap();
        text("serial_number")
    }

    fn revoke(&self, serial: &str) {
        let why = json!({ "reason": "key_compromise" });
        self.post(&format!("/api/v1/certificates/{serial}/revoke"), &why);
    }

    /// nginx with this in its `http` block, and the port it listens at.
    fn nginx(&self, http: impl Fn(u16) -> String) -> (Process, u16) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = self.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {folder}/temp-{name};\n"))
            .concat();
        let user = if run("id", &["-u"], self.path()).stdout == b"0\n" { "user root;\n" } else { "" };
        let text = format!(
            "{user}daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{}}}\n",
            http(port)
        );
        std::fs::write(self.at("nginx.conf"), text).unwrap();
        let child = Command::new("nginx")
            .args(["-e", &self.at("error.log"), "-c", &self.at("nginx.conf")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("nginx cannot be run ({error}): `make setup` installs it"));
        let process = Process(child);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(self.at("error.log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(10), "nginx does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        (process, port)
    }
}

#[test]
fn nginx_refuses_a_revoked_agent_whose_crl_is_synced() {
    let w = World::start();
    let (gone, stays) = (w.agent("gone"), w.agent("stays"));
    let chain = curl(&[&format!("{}/api/v1/ca/chain", w.server.url)]).1;
    std::fs::write(w.at("chain.pem"), chain.as_str().unwrap()).unwrap();
    let line = "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout tls.key -out tls.pem -subj /CN=localhost \
                -addext subjectAltName=IP:127.0.0.1";
    run("openssl", &line.split_whitespace().collect::<Vec<_>>(), w.path());
    let (crls, chain) = (w.at("crls.pem"), w.at("chain.pem"));
    let sync = ["crl-sync", "--url", &w.server.url, "--out", &crls, "--ca", &chain];
    let once = kakunin(&[&sync[..], &["--once"]].concat()).output().unwrap();
    assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
    let (_nginx, port) = w.nginx(|port| {
        let folder = w.path().display();
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/tls.pem;\n\
             ssl_certificate_key {folder}/tls.key; ssl_verify_client on; ssl_verify_depth 2;\n\
             ssl_client_certificate {folder}/chain.pem; ssl_crl {folder}/crls.pem;\n\
             location / {{ return 200 \"hello\"; }} }}\n"
        )
    });
    let reload = format!("nginx -e {} -c {} -s reload", w.at("error.log"), w.at("nginx.conf"));
    let following = [&sync[..], &["--exec", &reload]].concat();
    let _sync = Process(kakunin(&following).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let (tls, url) = (w.at("tls.pem"), format!("https://127.0.0.1:{port}/"));
    let hello = |name: &str| {
        let (pem, key) = (w.at(&format!("{name}.pem")), w.at(&format!("{name}.key")));
        curl(&["--cacert", &tls, "--cert", &pem, "--key", &key, &url]).0
    };
    assert_eq!((hello("gone").as_str(), hello("stays").as_str()), ("200", "200"));
    let mut took = Vec::new();
    let mut names = vec![("gone".to_owned(), gone)];
    for n in 0..4 {
        let name = format!("more{n}");
        let serial = w.agent(&name);
        names.push((name, serial));
    }
    for (name, serial) in &names {
        assert_eq!(hello(name), "200");
        w.revoke(serial);
        let revoked = Instant::now();
        while hello(name) != "400" {
            assert!(revoked.elapsed() < Duration::from_secs(20), "nginx does not refuse {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
        took.push(revoked.elapsed());
    }
    took.sort_unstable();
    println!("nginx with crl-sync: revocation to refusal on a new connection {took:?}");
    assert_eq!(hello("stays"), "200");
    let text = run(
        "openssl",
        &["verify", "-crl_check_all", "-CAfile", "chain.pem", "-CRLfile", "crls.pem", "stays.pem"],
        w.path(),
    );
    assert!(String::from_utf8_lossy(&text.stdout).contains("stays.pem: OK"));
    assert!(!stays.is_empty());
}

#[test]
fn a_cache_with_defaults_answers_of_a_revoked_certificate_for_seconds_only() {
    let w = World::start();
    let serial = w.agent("one");
    let (_nginx, port) = w.nginx(|port| {
        let (folder, up) = (w.path().display(), w.server.url.trim_start_matches("http://"));
        format!(
            "proxy_cache_path {folder}/cache keys_zone=cards:1m;\n\
             server {{ listen 127.0.0.1:{port};\n\
             location / {{ proxy_cache cards; proxy_pass http://{up}; add_header x-cache $upstream_cache_status; }} }}\n"
        )
    });
    let url = format!("http://127.0.0.1:{port}/api/v1/verify/{serial}");
    let card = || curl(&[&url]).1;
    let valid = card();
    assert_eq!(valid["data"]["valid"], true, "{valid}");
    let headers = || {
        let out = Command::new("curl").args(["-sS", "-D", "-", "-o", "/dev/null", &url]).output().unwrap();
        String::from_utf8(out.stdout).unwrap().to_lowercase()
    };
    assert!(headers().contains("x-cache: hit"), "it is cached at all: {}", headers());
    w.revoke(&serial);
    let revoked = Instant::now();
    while card()["data"]["valid"] == true {
        assert!(revoked.elapsed() <= Duration::from_secs(10), "the cache still says that it is valid");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("nginx proxy_cache with defaults: revocation to refusal {:?}", revoked.elapsed());
}
