//! The monitor, where a consumer never learns of the revocation, and where there is nobody to ask.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use binary::{curl, kakunin, refused, start};

/// Lets everybody in, for ever.
fn open_door() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    url
}

#[test]
fn a_consumer_that_never_learns_of_it_is_named_and_the_canary_is_retired_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(&folder.path().join("data"), &[]);
    let key = folder.path().join("data/admin.key");
    let (door, key_text) = (open_door(), key.display().to_string());
    let known = ["monitor", "--url", &server.url, "--key-file", &key_text, "--bound", "2", "--probe", &door];
    let seen = kakunin(&known).output().unwrap();
    assert!(!seen.status.success());
    let (said, why) = (String::from_utf8(seen.stdout).unwrap(), String::from_utf8(seen.stderr).unwrap());
    let never = said.lines().find(|line| line.contains(&door)).unwrap();
    assert!(never.contains("never"), "{said}");
    for consumer in ["gateway check", "verify/{serial}", "CRL shard"] {
        let line = said.lines().find(|line| line.contains(consumer)).unwrap();
        assert!(!line.contains("never"), "{said}");
    }
    assert!(why.starts_with("kakunin: not refused within 2 s: ") && why.contains(&door), "{why}");
    assert_eq!(why.trim_end().lines().count(), 1, "{why}");
    let bearer = format!("authorization: Bearer {}", std::fs::read_to_string(&key).unwrap().trim_end());
    let agents = curl(&["-H", &bearer, &format!("{}/api/v1/agents", server.url)]).1.to_string();
    assert!(
        agents.contains("canary") && agents.contains("retired") && !agents.contains("\"active\""),
        "{agents}"
    );
}

#[test]
fn what_cannot_be_measured_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{closed}");
    assert!(refused(&["monitor", "--url", &nobody, "--key-file", &at("none")]).contains("cannot read"));
    std::fs::write(at("key"), "kak_live_wrong").unwrap();
    assert!(refused(&["monitor", "--url", &nobody, "--key-file", &at("key")]).contains(&nobody));
    let server = start(&folder.path().join("data"), &[]);
    assert!(
        refused(&["monitor", "--url", &server.url, "--key-file", &at("key")]).contains("api_key_invalid")
    );
    assert!(refused(&["monitor", "--url", "ftp://x", "--key-file", &at("key")]).contains("http"));
}
