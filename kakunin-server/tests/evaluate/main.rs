//! `kakunin risk evaluate`, as a person runs it: over the sample, over the whole recorded set, over made-up traces and over
//! bad ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;

mod figures;
mod hostile;
mod loud;
mod made;
mod scores;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

/// The traces that lie in the repository.
fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/traces")
}

/// The whole recorded set, where `KAKUNIN_DATA` names the folder that has it.
fn whole() -> Option<PathBuf> {
    Some(Path::new(&std::env::var_os("KAKUNIN_DATA")?).join("agent-traces"))
}

fn evaluate(folder: &Path, more: &[&str]) -> Output {
    let folder = folder.to_str().unwrap();
    binary::kakunin(&[&["risk", "evaluate", folder], more].concat()).output().unwrap()
}

fn text(folder: &Path, more: &[&str]) -> String {
    let done = evaluate(folder, more);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn json(folder: &Path, more: &[&str]) -> Value {
    serde_json::from_str(&text(folder, &[more, &["--json"]].concat())).unwrap()
}

/// Each event's score, as a file has it, in its own spelling.
fn scores(file: &Path) -> BTreeMap<(String, u64), String> {
    let text = std::fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let agent = row["agent"].as_str().unwrap().to_owned();
        ((agent, row["seq"].as_u64().unwrap()), row["score"].to_string())
    };
    let all: BTreeMap<_, _> = text.lines().map(line).collect();
    assert_eq!(all.len(), text.lines().count(), "one score for each event");
    all
}
