//! The scores of the model alone are those of a whole deployment, and say nothing of the truth.

use std::path::Path;

use serde_json::{Value, json};

use crate::binary::kakunin;
use crate::made::Traces;
use crate::{evaluate, sample, scores, text, whole};

/// Holds both against each other, and gives how many events both scored.
fn same_as_a_deployment(folder: &Path, scope: &str) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let [ours, theirs] = ["ours", "theirs"].map(|name| dir.path().join(name));
    text(folder, &["--scope", scope, "--scores", ours.to_str().unwrap()]);
    let events = folder.join("events.jsonl.gz");
    let arguments = ["replay", events.to_str().unwrap(), "--key", "p256", "--scope", scope, "--scores"];
    let done = kakunin(&[&arguments[..], &[theirs.to_str().unwrap()]].concat()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (ours, theirs) = (scores(&ours), scores(&theirs));
    for (event, score) in &theirs {
        assert_eq!(ours.get(event), Some(score), "{event:?} with scope {scope}");
    }
    (ours.len(), theirs.len())
}

#[test]
fn scores_are_those_of_a_deployment_to_the_last_digit() {
    for scope in ["suite", "job", "broad"] {
        let (ours, theirs) = same_as_a_deployment(&sample(), scope);
        // A deployment scores nothing of an agent any more that it has revoked.
        assert_eq!(ours, 5_447);
        assert!(theirs > ours * 9 / 10, "{theirs} of {ours} with scope {scope}");
    }
}

/// The same over the whole set, where `KAKUNIN_DATA` names the folder that has it.
#[test]
fn scores_of_the_whole_set_are_those_of_a_deployment() {
    let Some(whole) = whole() else { return };
    let (ours, theirs) = same_as_a_deployment(&whole, "suite");
    assert!(ours == 221_136 && theirs > ours * 9 / 10, "{theirs} of {ours}");
}

#[test]
fn what_revokes_in_a_deployment_has_the_same_scores_until_then() {
    let folder = Traces::of_every_fate().folder();
    let (ours, theirs) = same_as_a_deployment(folder.path(), "suite");
    assert!((100..ours).contains(&theirs), "{theirs} of {ours}: three agents are revoked");
}

#[test]
fn the_truth_moves_no_score() {
    let traces = Traces::of_every_fate();
    let mut other = traces.clone();
    for agent in &mut other.agents {
        (agent["role"], agent["onset_seq"]) = (json!("benign"), Value::Null);
        (agent["model"], agent["profile"]) = (json!("other"), json!("other"));
    }
    for event in &mut other.events {
        (event["label"], event["injected"]) = (json!("attacked-successful"), json!(true));
    }
    other.sessions.clear();
    let all = [traces, other].map(|traces| {
        let folder = traces.folder();
        let file = folder.path().join("scores");
        text(folder.path(), &["--scores", file.to_str().unwrap()]);
        std::fs::read_to_string(file).unwrap()
    });
    assert_eq!(all[0], all[1]);
}

/// With a grant for each session, what its task does not need is refused and is evidence, although the certificate has it.
#[test]
fn leaving_the_grant_of_a_task_is_evidence() {
    let mut traces = Traces::of_every_fate();
    traces.event("benign-good", "read:mail", "job");
    traces.event("benign-good", "write:mail", "suite");
    let folder = traces.folder();
    let last_scores = |scope: &str| {
        let file = folder.path().join(scope);
        text(folder.path(), &["--scope", scope, "--scores", file.to_str().unwrap()]);
        let all = scores(&file);
        [29, 30, 31].map(|seq| {
            let score = &all[&("benign-good".to_owned(), seq)];
            score.parse::<f64>().unwrap()
        })
    };
    let [suite, job, task] = ["suite", "job", "task"].map(last_scores);
    assert_eq!(suite, [0.0; 3]);
    assert!(job[..2] == [0.0; 2] && job[2] > 0.1, "{job:?}");
    assert!(task[0] == 0.0 && task[1] > 0.1 && task[2] > task[1], "{task:?}");
    let done = evaluate(&sample(), &["--scope", "task"]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success() && said.contains("line 1: `scope` is missing"), "{said}");
}
