//! A deployment, a backend, and a gateway between agents and it, each a process or thread of the test's own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kakunin_core::x509::pem;
use serde_json::{Value, json};

use crate::binary::{self, MODEL, curl, run};
use crate::client::{Client, NAME, Protocol};

pub(crate) struct Agent {
    pub(crate) der: Vec<u8>,
    serial: String,
    certificate: PathBuf,
    key: PathBuf,
}

pub(crate) struct World {
    server: binary::Server,
    gateway: Child,
    log: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    served: Served,
}

/// Heads of the requests that reached the service behind, as they came.
type Served = Arc<Mutex<Vec<Vec<u8>>>>;

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

impl World {
    pub(crate) fn start(gateway: &str) -> Self {
        Self::start_with(gateway, &[])
    }

    /// The same, with more changed in its configuration.
    pub(crate) fn start_with(gateway: &str, changes: &[(&str, &str)]) -> Self {
        Self::asking(gateway, changes, str::to_owned)
    }

    /// The same, whose server is told more.
    pub(crate) fn start_told(gateway: &str, changes: &[(&str, &str)], flags: &[&str]) -> Self {
        Self::asking_one_told(gateway, changes, flags, str::to_owned)
    }

    /// The same, whose gateway asks at the port that `between` makes of the server's.
    pub(crate) fn asking(gateway: &str, changes: &[(&str, &str)], between: impl Fn(&str) -> String) -> Self {
        Self::asking_one_told(gateway, changes, &[], between)
    }

    fn asking_one_told(
        gateway: &str,
        changes: &[(&str, &str)],
        flags: &[&str],
        between: impl Fn(&str) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let believed = format!("127.0.0.1={gateway}");
        let server =
            binary::start(&folder.path().join("data"), &[&["--gateway", &believed][..], flags].concat());
        own_certificate(folder.path());
        let chain = curl(&[&format!("{}/api/v1/ca/chain", server.url)]).1;
        known_agents(folder.path(), chain.as_str().unwrap());
        let (served, backend) = backend();
        let port = free_port();
        let asked = &*between(server.url.rsplit(':').next().unwrap());
        let (files, port_text) = (format!("{}/", folder.path().display()), port.to_string());
        let places =
            [("/etc/kakunin/", files.as_str()), ("8443", &port_text), ("3000", &backend), ("8080", asked)];
        configure(gateway, folder.path(), &[&places, changes].concat());
        let log = folder.path().join("gateway.log");
        let gateway = launch(gateway, folder.path(), &log);
        Self { server, gateway, log, folder, port, served }
    }

    /// A deployment behind an nginx that passes on whatever it is sent, as anybody configures it who wants no more than
    /// TLS in front; the server is told `flags`.
    pub(crate) fn plain(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = binary::start(&folder.path().join("data"), flags);
        let port = free_port();
        let asked = server.url.rsplit(':').next().unwrap();
        let text = format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{asked}; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}"
        );
        std::fs::write(folder.path().join("kakunin.conf"), text).unwrap();
        let log = folder.path().join("gateway.log");
        let gateway = launch("nginx", folder.path(), &log);
        let world = Self { server, gateway, log, folder, port, served: Arc::default() };
        let deadline = Instant::now() + Duration::from_secs(30);
        while world.through(&["/readyz"]).0 != "200" {
            assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(&world.log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        world
    }

    /// What curl is answered through a plain gateway: flags of its own, and a path at last.
    pub(crate) fn through(&self, arguments: &[&str]) -> (String, Value) {
        let (path, flags) = arguments.split_last().unwrap();
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        curl(&[flags, &[url.as_str()]].concat())
    }

    /// What an operator is answered.
    pub(crate) fn get(&self, path: &str) -> Value {
        let key = std::fs::read_to_string(self.at("data/admin.key")).unwrap();
        let bearer = format!("authorization: Bearer {}", key.trim_end());
        curl(&["-H", &bearer, &format!("{}/api/v1{path}", self.server.url)]).1["data"].clone()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let key = std::fs::read_to_string(self.at("data/admin.key")).unwrap();
        let bearer = format!("authorization: Bearer {}", key.trim_end());
        let (kind, url) = ("content-type: application/json", format!("{}/api/v1{path}", self.server.url));
        let (status, answer) = curl(&["-H", &bearer, "-H", kind, "-d", &body.to_string(), &url]);
        assert!(["200", "201"].contains(&&*status), "{status} {answer}");
        answer["data"].clone()
    }

    pub(crate) fn revoke(&self, agent: &Agent) {
        let path = format!("/certificates/{}/revoke", agent.serial);
        self.post(&path, &json!({ "reason": "key_compromise" }));
    }

    /// An agent with a key that OpenSSL made.
    pub(crate) fn agent(&self, name: &str, scope: &str) -> Agent {
        let made = self.post("/agents", &json!({ "name": name, "model_hash": MODEL, "scope": [scope] }));
        let (key, csr) = (format!("{name}.key"), format!("{name}.csr"));
        let request =
            ["req", "-newkey", "rsa:2048", "-nodes", "-keyout", &key, "-out", &csr, "-subj", "/CN=x"];
        run("openssl", &request, self.folder.path());
        let csr = std::fs::read_to_string(self.at(&csr)).unwrap();
        let path = format!("/agents/{}/certify", made["id"].as_str().unwrap());
        let issued = self.post(&path, &json!({ "csr": csr }));
        let leaf = issued["certificate_pem"].as_str().unwrap();
        let certificate = self.at(&format!("{name}.pem"));
        std::fs::write(&certificate, leaf).unwrap();
        let serial = issued["serial_number"].as_str().unwrap().to_owned();
        Agent {
            der: pem::decode(pem::CERTIFICATE, leaf).unwrap().remove(0),
            serial,
            certificate,
            key: self.at(&key),
        }
    }

    pub(crate) fn client(&self, agent: Option<&Agent>) -> Client {
        let shown = agent.map(|agent| (agent.certificate.as_path(), agent.key.as_path()));
        Client::new(&self.at("gateway.pem"), shown, self.port)
    }

    pub(crate) async fn until_ready(&self, client: &Client) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while client.get(Protocol::Http1, "/pay", &[]).await.is_none_or(|status| status == 404) {
            let said = || std::fs::read_to_string(&self.log).unwrap();
            assert!(Instant::now() < deadline, "the gateway does not answer: {}", said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A measurement by `kakunin monitor` of what is behind this gateway too.
    pub(crate) fn monitor(&self, path: &str, more: &[&str]) -> std::process::Output {
        let (key, ca) = (self.at("data/admin.key"), self.at("gateway.pem"));
        let (key, ca) = (key.display().to_string(), ca.display().to_string());
        let probe = format!("https://127.0.0.1:{}{path}", self.port);
        let known =
            ["monitor", "--url", &self.server.url, "--key-file", &key, "--ca", &ca, "--probe", &probe];
        binary::kakunin(&[&known[..], more].concat()).output().unwrap()
    }

    /// What anybody is told of an agent.
    pub(crate) fn status(&self, agent: &Agent) -> Value {
        curl(&[&format!("{}/api/v1/verify/{}", self.server.url, agent.serial)]).1["data"].clone()
    }

    /// Leaves the gateway alone with its agents.
    pub(crate) fn end_server(&mut self) {
        self.server.child.kill().unwrap();
        self.server.child.wait().unwrap();
    }

    /// Requests that reached the backend.
    pub(crate) fn served(&self) -> usize {
        self.served.lock().unwrap().len()
    }

    /// Their heads, from number `first` on.
    pub(crate) fn served_since(&self, first: usize) -> Vec<Vec<u8>> {
        self.served.lock().unwrap()[first..].to_vec()
    }
}

/// Those that vouch for agents: in one file, and one a file, for Caddy.
fn known_agents(folder: &Path, chain: &str) {
    std::fs::write(folder.join("agents.pem"), chain).unwrap();
    let lines = pem::decode(pem::CERTIFICATE, chain).unwrap().into_iter().enumerate().map(|(n, der)| {
        let file = folder.join(format!("agents-{n}.pem"));
        std::fs::write(&file, pem::encode(pem::CERTIFICATE, &der)).unwrap();
        format!("trusted_ca_cert_file {}\n", file.display())
    });
    std::fs::write(folder.join("agents.caddy"), lines.collect::<String>()).unwrap();
}

fn own_certificate(folder: &Path) {
    let key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let files = ["-days", "2", "-keyout", "gateway.key", "-out", "gateway.pem", "-subj", "/CN=gateway"];
    let names = format!("subjectAltName=DNS:{NAME},IP:127.0.0.1");
    let kind = ["-addext", &names, "-addext", "basicConstraints=critical,CA:FALSE"];
    run("openssl", &[&key[..], &files[..], &kind[..]].concat(), folder);
    let [certificate, key] = ["gateway.pem", "gateway.key"].map(|f| std::fs::read(folder.join(f)).unwrap());
    std::fs::write(folder.join("gateway.both.pem"), [certificate, key].concat()).unwrap();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Answers every request with 200, and keeps its head.
fn backend() -> (Served, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let served = Served::default();
    let kept = served.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, kept) = (stream.unwrap(), kept.clone());
            std::thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let (mut head, mut last) = (Vec::new(), 0);
                while lines.read_until(b'\n', &mut head).is_ok_and(|read| read > 2) && last < head.len() {
                    last = head.len();
                }
                kept.lock().unwrap().push(head);
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            });
        }
    });
    (served, port)
}

/// Copies the example, with this machine's ports and files in place of its own.
fn configure(gateway: &str, folder: &Path, replace: &[(&str, &str)]) {
    let name = if gateway == "nginx" { "nginx-auth-request" } else { gateway };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/gateways").join(name);
    let mut found = vec![false; replace.len()];
    for file in std::fs::read_dir(example).unwrap().map(Result::unwrap) {
        let mut text = std::fs::read_to_string(file.path()).unwrap();
        // All are marked before one is written: a new port may look like an old one.
        for (n, (from, _)) in replace.iter().enumerate() {
            found[n] |= text.contains(from);
            text = text.replace(from, &format!("<<{n}>>"));
        }
        for (n, (_, to)) in replace.iter().enumerate() {
            text = text.replace(&format!("<<{n}>>"), to);
        }
        std::fs::write(folder.join(file.file_name()), text).unwrap();
    }
    assert!(found.iter().all(|found| *found), "{replace:?} is not all in the example");
}

fn launch(gateway: &str, folder: &Path, log: &Path) -> Child {
    let tools = std::env::var("KAKUNIN_TOOLS").map(PathBuf::from).unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap();
        Path::new(&home).join(".cache/kakunin/tools")
    });
    let tool = |name: &str| tools.join("venv/bin").join(name).display().to_string();
    let at = |name: &str| folder.join(name).display().to_string();
    let (program, arguments) = match gateway {
        "nginx" => {
            let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .iter()
                .map(|kind| format!("{kind}_temp_path {};\n", at(kind)))
                .collect();
            // One process, so that it ends with its test.
            let text = format!(
                "daemon off; master_process off; pid {};\nevents {{}}\nhttp {{\naccess_log off;\n{paths}include {};\n}}\n",
                at("nginx.pid"),
                at("kakunin.conf")
            );
            std::fs::write(folder.join("nginx.main"), text).unwrap();
            (
                "nginx".to_owned(),
                vec!["-c".to_owned(), at("nginx.main"), "-e".to_owned(), "stderr".to_owned()],
            )
        }
        "envoy" => {
            let quiet = ["--concurrency", "1", "--disable-hot-restart", "-l", "warn"].map(str::to_owned);
            (tool("envoy"), [vec!["-c".to_owned(), at("envoy.yaml")], quiet.to_vec()].concat())
        }
        "haproxy" => ("haproxy".to_owned(), vec!["-f".to_owned(), at("haproxy.cfg")]),
        "caddy" => {
            let arguments = ["run", "--adapter", "caddyfile", "--config"].map(str::to_owned);
            ("caddy".to_owned(), [arguments.to_vec(), vec![at("Caddyfile")]].concat())
        }
        "traefik" => (tool("traefik"), vec![format!("--configFile={}", at("traefik.yml"))]),
        other => panic!("{other} is no gateway"),
    };
    let out = std::fs::File::create(log).unwrap();
    Command::new(program)
        .args(arguments)
        .env("HOME", folder)
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .stdin(Stdio::null())
        .spawn()
        .expect("gateways are installed by `make setup`")
}
