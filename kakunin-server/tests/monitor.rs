//! The monitor, where a consumer never learns of the revocation, and where there is nobody to ask.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use binary::{curl, kakunin, refused, run, start};
use kakunin_core::time::UnixTime;
use kakunin_server::monitor::{Measured, Report, textfile};
use serde_json::{Value, json};

/// What Prometheus' own library reads in a file: samples by family, each with labels and value.
const SCRIPT: &str = r#"
import json, sys
from prometheus_client.parser import text_string_to_metric_families
found = {}
for family in text_string_to_metric_families(open(sys.argv[1]).read()):
    assert family.type == "gauge" and family.documentation and family.name not in found, family
    samples = [[sample.labels, float(sample.value)] for sample in family.samples]
    assert all(sample.name == family.name for sample in family.samples), family
    assert len(samples) == len({json.dumps(labels) for labels, _ in samples}), "a sample stands twice"
    found[family.name] = samples
print(json.dumps(found))
"#;

fn read_by_prometheus(file: &Path) -> Value {
    let python = std::env::var("KAKUNIN_PYTHON").unwrap_or_else(|_| {
        let home = std::env::var("HOME").unwrap_or_default();
        let tools = std::env::var("KAKUNIN_TOOLS").unwrap_or(format!("{home}/.cache/kakunin/tools"));
        format!("{tools}/venv/bin/python")
    });
    let done = Command::new(python).arg("-c").arg(SCRIPT).arg(file).output();
    let done = done.expect("`make setup` installs Python with prometheus-client");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

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
    let known = ["monitor", "--url", &server.url, "--key-file", &key_text, "--bound", "2"];
    let file = folder.path().join("kakunin.prom");
    let more = ["--probe", &door, "--probe", &door, "--textfile", &file.display().to_string()];
    let seen = kakunin(&[&known[..], &more].concat()).output().unwrap();
    assert!(!seen.status.success());
    let (said, why) = (String::from_utf8(seen.stdout).unwrap(), String::from_utf8(seen.stderr).unwrap());
    let never = said.lines().find(|line| line.contains(&door)).unwrap();
    assert!(never.contains("never"), "{said}");
    for consumer in ["gateway check", "verify/{serial}", "revocation feed", "CRL shard"] {
        let line = said.lines().find(|line| line.contains(consumer)).unwrap();
        assert!(!line.contains("never"), "{said}");
    }
    let read = read_by_prometheus(&file);
    let of = |family: &str, name: &str| {
        let samples = read[family].as_array().unwrap().iter();
        samples
            .filter(|sample| sample[0]["consumer"] == name)
            .map(|s| s[1].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    let (seconds, refusal) = ("kakunin_revocation_seconds", "kakunin_revocation_refused");
    assert_eq!((of(seconds, &door), of(refusal, &door)), (vec![], vec![0.0]), "named twice, asked once");
    assert!(of(seconds, "revocation feed")[0] < 2.0 && of(refusal, "revocation feed") == [1.0], "{read}");
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
fn the_feed_is_followed_over_tls_with_the_same_trust_as_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout tls.key -out tls.pem \
                -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    run("openssl", &line.split_whitespace().collect::<Vec<_>>(), folder.path());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (tls, key) = (at("tls.pem"), at("tls.key"));
    let server = start(&folder.path().join("data"), &["--tls-cert", &tls, "--tls-key", &key]);
    let admin = at("data/admin.key");
    let known =
        ["monitor", "--url", &server.url, "--key-file", &admin, "--ca", &tls, "--bound", "2", "--json"];
    let seen = kakunin(&known).output().unwrap();
    let report: Value = serde_json::from_slice(&seen.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&seen.stderr)));
    let feed = report["consumers"].as_array().unwrap().iter().find(|c| c["consumer"] == "revocation feed");
    assert!(feed.unwrap()["seconds"].as_f64().unwrap() < 2.0, "{report}");
}

#[test]
fn prometheus_reads_what_was_measured_whatever_a_consumer_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kakunin.prom");
    let odd = "a \"quoted\\path\"\nand {more}=1, \u{e9}";
    let measured = [("quick", Some(Duration::from_micros(1_500))), (odd, None)]
        .map(|(name, after)| Measured { consumer: name.to_owned(), after });
    let serial = "00112233445566778899aabbccddeeff".parse().unwrap();
    let (bound, now) = (Duration::from_secs(60), UnixTime::from_secs(1_795_420_800).plus(7));
    let report = Report { serial, bound, measured: measured.to_vec() };
    textfile::write(&file, Some(&report), bound, now).unwrap();
    let mut expected = json!({
        "kakunin_revocation_seconds": [[{ "consumer": "quick" }, 0.0015]],
        "kakunin_revocation_refused": [[{ "consumer": "quick" }, 1.0], [{ "consumer": odd }, 0.0]],
        "kakunin_revocation_bound_seconds": [[{}, 60.0]],
        "kakunin_monitor_success": [[{}, 0.0]],
        "kakunin_monitor_timestamp_seconds": [[{}, 1_795_420_800.007]],
    });
    assert_eq!(read_by_prometheus(&file), expected);
    let report = Report { measured: measured[..1].to_vec(), ..report };
    textfile::write(&file, Some(&report), bound, now).unwrap();
    expected["kakunin_revocation_refused"].as_array_mut().unwrap().pop();
    expected["kakunin_monitor_success"] = json!([[{}, 1.0]]);
    assert_eq!(read_by_prometheus(&file), expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
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
    let wrong = ["monitor", "--url", &server.url, "--key-file", &at("key"), "--textfile"];
    assert!(refused(&[&wrong[..], &[&at("none/at all")]].concat()).contains("api_key_invalid"));
    assert!(refused(&[&wrong[..], &[&at("out.prom")]].concat()).contains("api_key_invalid"));
    let read = read_by_prometheus(&folder.path().join("out.prom"));
    assert_eq!(read["kakunin_monitor_success"], json!([[{}, 0.0]]));
    assert!(read["kakunin_monitor_timestamp_seconds"][0][1].as_f64().unwrap() > 1.7e9);
    assert!(
        refused(&["monitor", "--url", &nobody, "--key-file", &at("key"), "--ca", &at("key")])
            .contains("--ca")
    );
    assert!(refused(&["monitor", "--url", "ftp://x", "--key-file", &at("key")]).contains("http"));
}

#[test]
fn its_textfile_follows_no_link_and_writes_into_nobodys_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, plant) in [("a", "a.new"), ("b", "b"), ("c", "c.new"), ("d", "d")] {
        std::fs::write(at("precious"), "mine").unwrap();
        if ["a", "b"].contains(&name) {
            std::os::unix::fs::symlink(at("precious"), at(plant)).unwrap();
        } else {
            std::fs::hard_link(at("precious"), at(plant)).unwrap();
        }
        textfile::write(&at(name), None, Duration::from_secs(1), UnixTime::from_secs(9)).unwrap();
        assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "mine", "{plant}");
        assert!(std::fs::read_to_string(at(name)).unwrap().contains("kakunin_monitor_success"));
        assert!(
            std::fs::symlink_metadata(at(name)).unwrap().is_file() && !at(&format!("{name}.new")).exists()
        );
    }
}
