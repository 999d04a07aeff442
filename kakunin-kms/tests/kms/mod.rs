//! AWS KMS for tests: ministack over HTTP, microburst for faults, and a relay that counts calls and loses
//! answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kakunin_kms::aws::{AwsConfig, AwsKeys, Credentials, Quotas};

/// An executable of the tests' Python environment.
pub(crate) fn tool(name: &str) -> PathBuf {
    let tools = std::env::var_os("KAKUNIN_TOOLS").map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache");
        cache.unwrap_or_else(home).join("kakunin/tools")
    });
    let path = tools.join("venv/bin").join(name);
    assert!(path.exists(), "{} is missing; run: make setup", path.display());
    path
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that is ended as an operator ends it, so that it writes its state.
pub(crate) struct Running(Child);

impl Running {
    fn start(mut command: Command, port: u16) -> Self {
        let log = tempfile::tempfile().unwrap();
        let said = log.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(log).stderr(said).spawn().unwrap();
        let mut running = Self(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(running.0.try_wait().unwrap().is_none(), "{command:?} ended");
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        self.0.wait().unwrap();
    }
}

/// A KMS that keeps its keys in a folder.
pub(crate) struct Kms {
    pub(crate) port: u16,
    folder: PathBuf,
    running: Option<Running>,
}

impl Kms {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut kms = Self { port: free_port(), folder: folder.join("kms"), running: None };
        kms.up();
        kms
    }

    pub(crate) fn up(&mut self) {
        let mut command = Command::new(tool("ministack"));
        command
            .envs([("IOT_MTLS_ENABLED", "0"), ("BIND_HOST", "127.0.0.1"), ("SERVICES", "kms")])
            .envs([("PERSIST_STATE", "1"), ("GATEWAY_PORT", &self.port.to_string())])
            .env("STATE_DIR", &self.folder);
        self.running = Some(Running::start(command, self.port));
    }

    pub(crate) fn down(&mut self) {
        self.running = None;
    }

    pub(crate) fn restart(&mut self) {
        self.down();
        self.up();
    }
}

/// Faults in front of a KMS.
pub(crate) struct Faults {
    pub(crate) port: u16,
    _running: Running,
}

impl Faults {
    pub(crate) fn before(upstream: u16) -> Self {
        let port = free_port();
        let mut command = Command::new(tool("microburst"));
        let upstream = format!("http://127.0.0.1:{upstream}");
        command.args(["--upstream", &upstream, "--host", "127.0.0.1", "--port", &port.to_string()]);
        let faults = Self { port, _running: Running::start(command, port) };
        faults.warm_up();
        faults
    }

    /// With its first call of a service it reads what the service looks like, for longer than clients wait.
    fn warm_up(&self) {
        let signed = "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/kms/aws4_request";
        let done = Command::new("curl")
            .args(["-sf", "--max-time", "60", "-d", "{}", &format!("http://127.0.0.1:{}/", self.port)])
            .args(["-H", "x-amz-target: TrentService.ListKeys", "-H", &format!("authorization: {signed}")])
            .args(["-H", "content-type: application/x-amz-json-1.1"])
            .output()
            .unwrap();
        assert!(done.status.success(), "no answer by way of microburst");
    }

    /// Replaces the rules; `[]` is none.
    pub(crate) fn rules(&self, rules: &str) {
        let url = format!("http://127.0.0.1:{}/_microburst/rules", self.port);
        let sent = Command::new("curl").args(["-sf", "-X", "POST", &url, "-d", rules]).output().unwrap();
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    }
}

/// Stands between client and KMS, notes each call, and loses answers.
#[derive(Clone)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<(String, Instant)>>>,
    lose: Arc<Mutex<Option<&'static str>>>,
}

impl Relay {
    pub(crate) fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let relay = Self { port, seen: Arc::default(), lose: Arc::default() };
        let this = relay.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (this, client) = (this.clone(), client.unwrap());
                std::thread::spawn(move || this.serve(client, upstream));
            }
        });
        relay
    }

    /// The next answer to this operation is lost.
    pub(crate) fn lose_answer_of(&self, operation: &'static str) {
        *self.lose.lock().unwrap() = Some(operation);
    }

    pub(crate) fn calls(&self, operation: &str) -> Vec<Instant> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(name, _)| name == operation).map(|(_, at)| *at).collect()
    }

    fn serve(&self, mut client: TcpStream, upstream: u16) {
        while let Some((head, request)) = message(&mut client) {
            let target = head.lines().find_map(|line| line.strip_prefix("x-amz-target: TrentService."));
            let operation = target.unwrap_or("?").to_owned();
            self.seen.lock().unwrap().push((operation.clone(), Instant::now()));
            let Ok(mut service) = TcpStream::connect(("127.0.0.1", upstream)) else { return };
            service.write_all(&request).unwrap();
            let Some((_, answer)) = message(&mut service) else { return };
            let lost = {
                let mut lose = self.lose.lock().unwrap();
                lose.take_if(|name| *name == operation).is_some()
            };
            if lost || client.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

/// One HTTP message: its head in lower case but for values, and all of it.
fn message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut all, mut octets) = (Vec::new(), [0; 16_384]);
    loop {
        let n = stream.read(&mut octets).ok().filter(|n| *n > 0)?;
        all.extend_from_slice(&octets[..n]);
        let Some(end) = all.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head: String = String::from_utf8_lossy(&all[..end])
            .lines()
            .map(|line| line.split_once(": ").map_or(line.to_owned(), |(n, v)| n.to_lowercase() + ": " + v))
            .collect::<Vec<_>>()
            .join("\n");
        if head.contains("transfer-encoding: chunked") {
            while !all.ends_with(b"\r\n0\r\n\r\n") {
                let n = stream.read(&mut octets).ok().filter(|n| *n > 0)?;
                all.extend_from_slice(&octets[..n]);
            }
            return Some((head, all));
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let whole = end + 4 + length.unwrap_or(0_usize);
        while all.len() < whole {
            let n = stream.read(&mut octets).ok().filter(|n| *n > 0)?;
            all.extend_from_slice(&octets[..n]);
        }
        return Some((head, all));
    }
}

/// Quotas that do not slow tests down.
pub(crate) const FAST: Quotas =
    Quotas { create: 1_000, manage: 1_000, read: 1_000, sign_rsa: 1_000, sign_ecc: 1_000 };

pub(crate) fn config(port: u16) -> AwsConfig {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    let mut config = AwsConfig::new("eu-west-1", "tests", credentials);
    config.endpoint = Some(format!("http://127.0.0.1:{port}"));
    config.quotas = FAST;
    config.timeout = Duration::from_secs(2);
    config
}

/// Keys, and the runtime that they need.
pub(crate) fn keys(config: AwsConfig) -> (AwsKeys, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let entered = runtime.enter();
    let keys = AwsKeys::new(config).unwrap();
    drop(entered);
    (keys, runtime)
}
