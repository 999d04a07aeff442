//! A deployment, and nginx in front of things.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::{MODEL, Server, curl, kakunin, run, start};
use crate::client::{Client, NAME};

const JSON: &str = "content-type: application/json";

/// A deployment, and a folder for everything else.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) server: Server,
    bearer: String,
}

/// A process that ends with the test.
pub(crate) struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // Told to end, nginx ends its workers too.
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let _ = self.0.wait();
        }
    }
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("{command:?} ({error}): `make setup` installs it")))
    }

    /// Whether it ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

/// nginx at work.
pub(crate) struct Nginx {
    _process: Process,
    /// What makes it read its files again.
    pub(crate) reload: String,
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl World {
    /// With the CAs' certificates and CRLs in `chain.pem` and `crls.pem`, and nginx's own in `tls.pem`.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&folder.path().join("data"), &[]);
        let admin = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
        let bearer = format!("authorization: Bearer {}", admin.trim_end());
        let w = Self { folder, server, bearer };
        let chain = curl(&[&format!("{}/api/v1/ca/chain", w.server.url)]).1;
        std::fs::write(w.at("chain.pem"), chain.as_str().unwrap()).unwrap();
        let line = format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout tls.key -out tls.pem -subj /CN=localhost -addext \
             subjectAltName=IP:127.0.0.1,DNS:{NAME} -addext basicConstraints=critical,CA:FALSE"
        );
        run("openssl", &line.split_whitespace().collect::<Vec<_>>(), w.path());
        let once = w.crl_sync(&["--once"]).output().unwrap();
        assert!(once.status.success(), "{}", String::from_utf8_lossy(&once.stderr));
        w
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (url, body) = (format!("{}{path}", self.server.url), body.to_string());
        let (status, answer) = curl(&["-H", &self.bearer, "-H", JSON, "-d", &body, &url]);
        assert!(status.starts_with('2'), "{path}: {status} {answer}");
        answer["data"].clone()
    }

    /// An agent that keeps its key in `<name>.key`, its chain in `<name>.pem`; its serial number.
    pub(crate) fn agent(&self, name: &str) -> String {
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

    pub(crate) fn revoke(&self, serial: &str) {
        let why = json!({ "reason": "key_compromise" });
        self.post(&format!("/api/v1/certificates/{serial}/revoke"), &why);
    }

    /// A client that shows itself as this agent, and keeps sessions.
    pub(crate) fn client(&self, agent: &str, port: u16) -> Client {
        let file = |end: &str| PathBuf::from(self.at(&format!("{agent}.{end}")));
        Client::new(&self.path().join("tls.pem"), Some((&file("pem"), &file("key"))), port)
    }

    /// `kakunin crl-sync`, which keeps `crls.pem`.
    pub(crate) fn crl_sync(&self, more: &[&str]) -> Command {
        let (out, ca) = (self.at("crls.pem"), self.at("chain.pem"));
        kakunin(&[&["crl-sync", "--url", &self.server.url, "--out", &out, "--ca", &ca], more].concat())
    }

    /// A server of nginx's that lets in whom the CA certified and its CRL does not name.
    pub(crate) fn mutual_tls(&self, port: u16, more: &str) -> String {
        let folder = self.path().display();
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {folder}/tls.pem;\n\
             ssl_certificate_key {folder}/tls.key; ssl_verify_client on; ssl_verify_depth 2;\n\
             ssl_client_certificate {folder}/chain.pem; ssl_crl {folder}/crls.pem; {more}\n\
             location / {{ return 200 \"hello\"; }} }}\n"
        )
    }

    /// nginx with this in its main context and its `http` block, which listens at `port` at least.
    pub(crate) fn nginx(&self, name: &str, main: &str, http: &str, port: u16) -> Nginx {
        let folder = self.at(name);
        std::fs::create_dir(&folder).unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {folder}/temp-{name};\n"))
            .concat();
        let user = if run("id", &["-u"], self.path()).stdout == b"0\n" { "user root;\n" } else { "" };
        let text = format!(
            "{user}daemon off;\n{main}\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{http}}}\n"
        );
        std::fs::write(format!("{folder}/nginx.conf"), text).unwrap();
        let line = format!("nginx -e {folder}/error.log -c {folder}/nginx.conf");
        let process = Process::spawn(Command::new("nginx").args(line.split(' ').skip(1)));
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let log = std::fs::read_to_string(format!("{folder}/error.log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(10), "nginx does not listen: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Nginx { _process: process, reload: format!("{line} -s reload") }
    }
}
