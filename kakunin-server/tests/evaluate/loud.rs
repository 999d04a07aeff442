//! Loud misuse and hard days: the same for the same seed, each kind there, and told of with its goal.

use serde_json::Value;

use crate::made::Traces;
use crate::{evaluate, json, sample, text};

const KINDS: [&str; 17] = [
    "stuffing",
    "stuffing, slow",
    "probing",
    "probing, slow",
    "payments",
    "payments, slow",
    "exfiltration",
    "exfiltration, slow",
    "frequency",
    "frequency, slow",
    "plain day",
    "busy day",
    "job change",
    "month end",
    "outage",
    "retry storm",
    "failed authentications",
];

fn kind<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == name).unwrap()
}

#[test]
fn every_kind_is_run_and_the_same_seed_gives_the_same() {
    let report = json(&sample(), &["--loud"]);
    let names = report["kinds"].as_array().unwrap().iter().map(|kind| kind["kind"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), KINDS);
    assert_eq!((&report["agents"], &report["seed"]), (&13.into(), &1.into()));
    for name in KINDS {
        let of = kind(&report, name)["revoked"]["share"]["of"].as_u64().unwrap();
        // Five days of each of the thirteen, of those who can.
        let some = ["payments", "exfiltration", "month end"].contains(&name.trim_end_matches(", slow"));
        assert!(if some { of <= 65 } else { of == 65 }, "{name}: {of}");
        assert!(of > 0, "{name}: somebody can do it");
    }
    assert_eq!(json(&sample(), &["--loud", "--seed", "1"]), report);
    assert_ne!(json(&sample(), &["--loud", "--seed", "2"])["kinds"], report["kinds"]);
}

/// What every model has to see, and what none may take for misuse.
#[test]
fn what_is_loudest_is_revoked_and_a_plain_day_is_not() {
    let report = json(&sample(), &["--loud"]);
    for name in ["stuffing", "stuffing, slow", "probing", "probing, slow"] {
        let revoked = &kind(&report, name)["revoked"];
        assert_eq!(revoked["share"]["part"], 65, "{name}: {revoked}");
        assert!(revoked["events_95th"].as_u64().unwrap() <= 40, "{name}: {revoked}");
    }
    let slower = |name: &str| kind(&report, name)["revoked"]["minutes_median"].as_f64().unwrap();
    assert!(slower("probing, slow") > 5.0 * slower("probing").max(1.0));
    let plain = kind(&report, "plain day");
    assert_eq!((&plain["revoked"]["share"]["part"], &plain["met"]), (&0.into(), &true.into()));
    assert_eq!(
        (&plain["goal"], &kind(&report, "probing")["goal"]),
        (&"nobody".into(), &">= 99 % in 20 events".into())
    );
    assert_eq!(kind(&report, "frequency, slow")["met"], Value::Null);
    let table = text(&sample(), &["--loud"]);
    assert!(KINDS.iter().all(|name| table.contains(&format!("\n{name} "))), "{table}");
}

#[test]
fn agents_without_a_history_are_nobody_to_work_on() {
    let folder = Traces::of_every_fate().folder();
    let done = evaluate(folder.path(), &["--loud"]);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success() && said.contains("has six days of events"), "{said}");
}
