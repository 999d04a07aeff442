//! The command, as a person runs it: over the sample, over the whole recorded set, and over bad files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::leaf::Leaf;
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::UnixTime;
use serde_json::Value;

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kakunin")).arg("replay").args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let done = replay(&[arguments, &["--json", "--key", "p256"]].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/traces/events.jsonl.gz")
}

#[test]
fn the_sample_runs_to_its_end() {
    let report = json(&[sample().to_str().unwrap()]);
    assert_eq!((report["agents"].as_u64(), report["truth"]["honest"].as_u64()), (Some(20), Some(13)));
    assert!(
        report["refused_by_scope"].as_u64() > Some(0)
            && report["log_size"].as_u64() > report["events"].as_u64()
    );
    let done = replay(&[sample().to_str().unwrap(), "--key", "p256"]);
    let table = String::from_utf8(done.stdout).unwrap();
    for row in ["agents", "events", "refused calls", "warnings", "agents revoked", "log size", "log root"] {
        assert!(table.contains(row), "{row}\n{table}");
    }
    let narrow = json(&[sample().to_str().unwrap(), "--scope", "job"]);
    assert!(
        narrow["refused_by_scope"].as_u64() > report["refused_by_scope"].as_u64(),
        "a narrower scope refuses more"
    );
}

/// All 221,136 calls of the whole set, where `KAKUNIN_DATA` names the folder that has it, else the sample. Two
/// runs come to the same verdicts: the scores are a function of the calls.
#[test]
fn the_recorded_set_comes_to_the_same_verdicts_twice() {
    let whole =
        std::env::var_os("KAKUNIN_DATA").map(|data| Path::new(&data).join("agent-traces/events.jsonl.gz"));
    let (agents, events) = if whole.is_some() { (550, 221_136) } else { (20, 5_447) };
    let file = whole.unwrap_or_else(sample);
    assert!(file.exists(), "no recorded traces at {}", file.display());
    let report = json(&[file.to_str().unwrap()]);
    assert_eq!((report["agents"].as_u64(), report["events"].as_u64()), (Some(agents), Some(events)));
    let again = json(&[file.to_str().unwrap()]);
    for same in ["refused_by_scope", "refused_after_revocation", "warnings", "revoked", "truth", "log_size"] {
        assert_eq!(report[same], again[same], "{same}");
    }
    let (lost, honest) =
        (report["truth"]["honest_revoked"].as_u64().unwrap(), report["truth"]["honest"].as_u64().unwrap());
    assert!(lost * 50 <= honest, "{lost} of {honest} honest agents lost their identity; the budget is 2 %");
}

/// Each call is scored at its own time: the log holds the times of the file, and no others.
#[test]
fn the_log_has_the_times_of_the_calls() {
    let dir = tempfile::tempdir().unwrap();
    json(&[sample().to_str().unwrap(), "--data", dir.path().to_str().unwrap()]);
    let store = SqliteStore::open(dir.path().join("replay.db")).unwrap();
    let log = LogId::Tenant("replay".parse().unwrap());
    let (mut times, mut index, mut last) = (Vec::new(), 0, UnixTime::default());
    loop {
        let entries = pollster::block_on(store.read(&log, index, 1_000)).unwrap();
        if entries.is_empty() {
            break;
        }
        index += u64::try_from(entries.len()).unwrap();
        for leaf in entries.iter().map(|entry| Leaf::decode(&entry.leaf).unwrap()) {
            assert!(leaf.time >= last, "the log's time went back");
            last = leaf.time;
            if leaf.act.is_some() {
                times.push(leaf.time.millis());
            }
        }
    }
    let mut file = String::new();
    GzDecoder::new(std::fs::File::open(sample()).unwrap()).read_to_string(&mut file).unwrap();
    let monday = UnixTime::from_rfc3339("2026-01-05T00:00:00Z").unwrap().millis();
    let at = |line: &str| serde_json::from_str::<Value>(line).unwrap()["t"].as_f64().unwrap();
    let millis = |seconds: f64| format!("{:.0}", seconds * 1_000.0).parse::<u64>().unwrap();
    let mut calls: Vec<u64> = file.lines().map(|line| monday + millis(at(line))).collect();
    calls.sort_unstable();
    let distinct = |times: &[u64]| times.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(distinct(&times), distinct(&calls), "distinct times in the log, and in the file");
    assert_eq!(times, calls);
}

/// A folder with an agents file and these lines as events, gzipped.
fn trace(lines: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let agents = br#"{"agent":"a","scope_suite":["read:a"],"role":"benign"}"#;
    for (name, content) in [("agents.jsonl.gz", &agents[..]), ("events.jsonl.gz", lines)] {
        let mut file =
            GzEncoder::new(std::fs::File::create(dir.path().join(name)).unwrap(), Compression::fast());
        file.write_all(content).unwrap();
        file.finish().unwrap();
    }
    dir
}

fn refused(dir: &Path) -> String {
    let done = replay(&[dir.join("events.jsonl.gz").to_str().unwrap(), "--key", "p256"]);
    assert!(!done.status.success());
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "one clear line: {text}");
    assert!(text.starts_with("kakunin: ") && !text.contains("panicked"), "{text}");
    text
}

const GOOD: &str =
    r#"{"agent":"a","seq":0,"session":"s","t":1.5,"action":"read:a","tool":"t","outcome":"ok"}"#;

#[test]
fn a_bad_line_is_named_with_its_number_and_what_is_wrong() {
    assert!(
        replay(&[trace(GOOD.as_bytes()).path().join("events.jsonl.gz").to_str().unwrap(), "--key", "p256"])
            .status
            .success()
    );
    for (bad, why) in [
        (GOOD.replace("read:a", "read:A"), "`action`: scope `read:A` is malformed"),
        (GOOD.replace("read:a", "read:*"), "wildcard"),
        (GOOD.replace("\"ok\"", "7"), "`outcome` is the number 7: write"),
        (GOOD.replace("\"ok\"", "\"good\""), "`outcome` is `good`: write one of `ok`, `error`, `denied`"),
        (GOOD.replace("1.5", "\"now\""), "`t` is the text \"now\": write a number"),
        (GOOD.replace("1.5", "-1"), "`t` is -1: write seconds"),
        (GOOD.replace("\"agent\":\"a\"", "\"agent\":\"b\""), "not in the agents file"),
        (GOOD.replace("\"t\"", "\"u\""), "`t` is missing"),
        (GOOD.replace("\"s\"", &format!("\"{}\"", "s".repeat(300))), "`session`: write 1 to 256 bytes"),
        ("x".repeat(70_000), "longer than"),
        ("{".to_owned(), "in the middle of its JSON"),
    ] {
        let dir = trace(format!("{GOOD}\n{bad}\n").as_bytes());
        let text = refused(dir.path());
        assert!(text.contains("line 2") && text.contains(why), "{why}: {text}");
    }
}

#[test]
fn a_truncated_corrupt_or_missing_archive_is_said_at_once() {
    let dir = trace(&[GOOD.as_bytes(), b"\n"].concat().repeat(2_000));
    let path = dir.path().join("events.jsonl.gz");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(refused(dir.path()).contains("get the file again"));
    let mut corrupt = whole.clone();
    let middle = corrupt.len() / 2;
    corrupt[middle] ^= 0xff;
    std::fs::write(&path, corrupt).unwrap();
    refused(dir.path());
    std::fs::write(&path, b"not gzip at all").unwrap();
    assert!(refused(dir.path()).contains("not gzip"));
    std::fs::remove_file(&path).unwrap();
    assert!(refused(dir.path()).contains("cannot open"));
}

#[test]
fn a_log_that_is_kept_is_not_begun_twice_with_other_keys() {
    let dir = trace(GOOD.as_bytes());
    let (file, data) = (dir.path().join("events.jsonl.gz"), dir.path().join("data"));
    let arguments = [file.to_str().unwrap(), "--key", "p256", "--data", data.to_str().unwrap()];
    assert!(replay(&arguments).status.success() && data.join("replay.db").exists());
    let again = replay(&arguments);
    let text = String::from_utf8(again.stderr).unwrap();
    assert!(!again.status.success() && text.contains("provider of this deployment"), "{text}");
}

/// As for a deployment: others could plant a link, and have another file written through it.
#[test]
fn a_log_is_not_kept_where_others_can_write_nor_written_through_a_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = trace(GOOD.as_bytes());
    let (file, data, other) =
        (dir.path().join("events.jsonl.gz"), dir.path().join("data"), dir.path().join("other"));
    let arguments = [file.to_str().unwrap(), "--key", "p256", "--data", data.to_str().unwrap()];
    let refused = |why: &str| {
        let out = replay(&arguments);
        let text = String::from_utf8(out.stderr).unwrap();
        assert!(!out.status.success() && text.contains(why), "{text}");
        assert!(!other.exists());
    };
    std::fs::create_dir(&data).unwrap();
    for name in ["replay.db", "replay.db-wal", "replay.db.lock"] {
        symlink(&other, data.join(name)).unwrap();
        refused("must be a file of its own");
        std::fs::remove_file(data.join(name)).unwrap();
    }
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).unwrap();
    refused("others can write");
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    assert!(replay(&arguments).status.success());
}
