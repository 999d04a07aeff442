//! Folders that are none, or are damaged: one clear line each, and nothing is written.

use std::path::Path;

use serde_json::{Value, json};

use crate::made::{Traces, lines, zip};
use crate::{evaluate, sample, text};

fn refused(folder: &Path, why: &str) {
    let scores = folder.join("scores");
    let done = evaluate(folder, &["--scores", scores.to_str().unwrap()]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success() && done.stdout.is_empty(), "{why}: {said}");
    assert_eq!(said.lines().count(), 1, "one clear line: {said}");
    assert!(
        said.starts_with("kakunin: ") && said.contains(why) && !said.contains("panicked"),
        "{why}: {said}"
    );
    assert!(!scores.exists(), "{why}: nothing is written");
}

#[test]
fn a_folder_without_files_says_which_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), "cannot open agents.jsonl.gz or agents.jsonl in");
    let traces = Traces::of_every_fate();
    zip(&dir.path().join("agents.jsonl.gz"), lines(&traces.agents).as_bytes());
    refused(dir.path(), "cannot open events.jsonl.gz or events.jsonl in");
    for (file, content) in [("events.jsonl", ""), ("events.jsonl", "\n\n")] {
        std::fs::write(dir.path().join(file), content).unwrap();
        refused(dir.path(), "events.jsonl has no events; get the file again");
    }
    std::fs::write(dir.path().join("events.jsonl.gz"), "").unwrap();
    refused(dir.path(), "damaged or not gzip");
    zip(&dir.path().join("events.jsonl.gz"), b"");
    refused(dir.path(), "events.jsonl.gz has no events");
    zip(&dir.path().join("agents.jsonl.gz"), b"");
    refused(dir.path(), "agents.jsonl.gz has no agents");
}

#[test]
fn files_that_are_not_gzipped_are_read_as_they_are() {
    let traces = Traces::of_every_fate();
    let (dir, zipped) = (tempfile::tempdir().unwrap(), traces.folder());
    for (name, rows) in
        [("agents", &traces.agents), ("events", &traces.events), ("sessions", &traces.sessions)]
    {
        std::fs::write(dir.path().join(format!("{name}.jsonl")), lines(rows)).unwrap();
    }
    assert_eq!(text(dir.path(), &["--json"]), text(zipped.path(), &["--json"]));
}

#[test]
fn a_truncated_or_corrupt_archive_is_said_at_once() {
    for name in ["agents.jsonl.gz", "events.jsonl.gz", "sessions.jsonl.gz"] {
        let dir = Traces::of_every_fate().folder();
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        refused(dir.path(), "get the file again");
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        refused(dir.path(), "get the file again");
        std::fs::write(&path, b"not gzip at all").unwrap();
        refused(dir.path(), "not gzip");
    }
}

/// A folder of which one line has another value.
fn changed(file: &str, member: &str, value: &Value, why: &str) {
    let mut traces = Traces::of_every_fate();
    let rows = match file {
        "agents" => &mut traces.agents,
        "events" => &mut traces.events,
        _ => &mut traces.sessions,
    };
    rows[2][member] = value.clone();
    let why = format!("{file}.jsonl.gz line 3: {why}");
    refused(traces.folder().path(), &why);
}

#[test]
fn a_bad_line_is_named_with_its_number_and_what_is_wrong() {
    let beyond = (1_u64 << 53) + 1;
    let most = "write a whole number up to 9007199254740991";
    for (file, member, value, why) in [
        ("agents", "role", json!("saint"), "`role` is `saint`: write one of `benign`".to_owned()),
        ("agents", "role", Value::Null, "`role` is missing".to_owned()),
        ("agents", "scope_suite", Value::Null, "`scope_suite` is missing: write it, or take".to_owned()),
        ("agents", "agent", json!("benign-good"), "agent `benign-good` came before".to_owned()),
        ("agents", "onset_seq", json!(beyond), format!("`onset_seq` is {beyond}: {most}")),
        (
            "events",
            "agent",
            json!("nobody"),
            "`agent` is `nobody`, which is not in the agents file".to_owned(),
        ),
        ("events", "seq", json!(0), "`seq` 0 of agent `benign-bad` came before".to_owned()),
        ("events", "seq", json!(beyond), format!("`seq` is {beyond}: {most}")),
        ("events", "seq", json!(1e30), "`seq` is".to_owned()),
        ("events", "seq", json!(-1), "`seq` is".to_owned()),
        ("events", "t", json!(-1), "`t` is -1: write seconds".to_owned()),
        ("events", "t", json!(1e300), "`t` is".to_owned()),
        ("events", "action", json!("read:*"), "`action`".to_owned()),
        ("events", "scope", json!("wide"), "`scope` is `wide`".to_owned()),
        ("sessions", "agent", json!("nobody"), "`agent` is `nobody`".to_owned()),
        ("sessions", "first_seq", json!(beyond), format!("`first_seq` is {beyond}: {most}")),
        ("sessions", "label", json!("good"), "`label` is `good`: write one of".to_owned()),
    ] {
        changed(file, member, &value, &why);
    }
}

#[test]
fn amounts_beyond_what_a_double_holds_are_taken_to_the_digit() {
    let mut traces = Traces::of_every_fate();
    traces.events[2]["amount"] = json!((1_u64 << 53) + 1);
    traces.events[3]["amount"] = json!(1e30);
    text(traces.folder().path(), &[]);
}

#[test]
fn arguments_that_do_not_go_together_are_said() {
    let folder = sample();
    for (more, why) in [
        (&["--model", "weighted/0"][..], "there is no risk model `weighted/0`: take one of `weighted/2`"),
        (&["--scope", "none"], "invalid value 'none'"),
        (&["--loud", "--folds"], "cannot be used with"),
        (&["--seed", "3"], "--loud"),
    ] {
        let done = evaluate(&folder, more);
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.code() == Some(2) && said.contains(why), "{more:?}: {said}");
    }
    let done = evaluate(&folder, &["--scores", "/nowhere/scores"]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("--scores: cannot write /nowhere/scores"), "{said}");
}
