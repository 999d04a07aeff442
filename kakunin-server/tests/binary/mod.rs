//! The binary, started and told to end, and what tests ask it with.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part of this")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

pub const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A server that is killed when the test ends.
pub struct Server {
    pub child: Child,
    pub url: String,
    pub said: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn kakunin(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kakunin"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    // What configures the server is for the test to say: `KAKUNIN_DATA` also names the whole sets that tests read.
    let ours = std::env::vars_os().map(|(name, _)| name);
    ours.filter(|name| name.to_string_lossy().starts_with("KAKUNIN_")).for_each(|name| {
        command.env_remove(name);
    });
    command
}

pub fn start(data: &Path, more: &[&str]) -> Server {
    start_with(data, more, &[])
}

/// A server with variables in its environment.
pub fn start_with(data: &Path, more: &[&str], environment: &[(&str, &str)]) -> Server {
    start_at(data, "127.0.0.1:0", more, environment)
}

/// A server at an address of the test's.
pub fn start_at(data: &Path, listen: &str, more: &[&str], environment: &[(&str, &str)]) -> Server {
    let data = data.display().to_string();
    let listen: &[&str] = if more.contains(&"--listen") { &[] } else { &["--listen", listen] };
    let arguments = [&["serve", "--data", &data], listen, more].concat();
    let mut child = kakunin(&arguments).envs(environment.iter().copied()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    loop {
        let Some(Ok(line)) = lines.next() else {
            let mut why = String::new();
            child.stderr.take().unwrap().read_to_string(&mut why).unwrap();
            child.wait().unwrap();
            panic!("the server did not start: {said}{why}");
        };
        said.push_str(&line);
        said.push('\n');
        if let Some(rest) = line.strip_prefix("kakunin: ready at ") {
            let url = rest.split(',').next().unwrap().to_owned();
            // Read, so that it does not wait for somebody who does.
            let mut log = child.stderr.take().unwrap();
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Server { child, url, said };
        }
    }
}

pub fn curl(arguments: &[&str]) -> (String, Value) {
    let out = Command::new("curl")
        .args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"])
        .args(arguments)
        .output()
        .expect("curl is installed by `make setup`");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_default();
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    (format!("{status}{why}"), serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())))
}

/// libfaketime, which `make setup` installs; its wrapper leaves names behind that the next process of the same
/// number trips over.
pub fn faketime() -> String {
    let places = std::fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path());
    let mut there =
        places.map(|folder| folder.join("faketime/libfaketime.so.1")).filter(|path| path.exists());
    there.next().expect("run `make setup`: faketime is not installed").display().to_string()
}

/// What a process is started with whose clock is off by so much: `+1096d`, `+2h`.
pub fn off(by: &str) -> [(String, String); 3] {
    [
        ("LD_PRELOAD", faketime()),
        ("FAKETIME", by.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}

pub fn run(program: &str, arguments: &[&str], folder: &Path) -> Output {
    ran(Command::new(program).args(arguments).current_dir(folder))
}

/// The output of a command that has to succeed.
pub fn ran(command: &mut Command) -> Output {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    out
}

pub fn refused(arguments: &[&str]) -> String {
    let out = kakunin(arguments).output().unwrap();
    assert!(!out.status.success() && out.stdout.is_empty());
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(text.trim_end().lines().count(), 1, "{text}");
    assert!(text.starts_with("kakunin: "), "{text}");
    text
}
