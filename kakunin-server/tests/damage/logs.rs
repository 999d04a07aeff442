//! `kakunin log verify` and `kakunin rebuild`: what they say, and how they end.

use serde_json::Value;

use crate::binary::kakunin;
use crate::world::World;

/// How a command on the folder ended, and what it said.
pub(crate) fn run(world: &World, command: &[&str], more: &[&str]) -> (i32, String, String) {
    let data = world.data().display().to_string();
    let out = kakunin(&[command, &["--data", &data], more].concat()).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap().trim_end().to_owned();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

fn verify(world: &World, more: &[&str]) -> (i32, String, String) {
    run(world, &["log", "verify"], more)
}

pub(crate) fn json(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn logs_are_verified_beside_a_server_and_without_one() {
    let mut world = World::new();
    world.agent("one");
    let (code, said, complained) = verify(&world, &["--json"]);
    let report = json(&said);
    assert_eq!((code, &report["ok"], complained.as_str()), (0, &Value::Bool(true), ""));
    let of = |report: &Value, name: &str| {
        let logs = report["logs"].as_array().unwrap();
        logs.iter().find(|log| log["log"] == name).unwrap_or_else(|| panic!("{report}")).clone()
    };
    let size = of(&report, "default")["size"].as_u64().unwrap();
    assert!(size > 3 && of(&report, "default")["records"] == size);
    world.agent("two");
    let key = report["log_key"].as_str().unwrap();
    let (code, said, _) = verify(&world, &["--log", "default", "--key", key, "--json"]);
    let later = json(&said);
    assert_eq!((code, later["logs"].as_array().unwrap().len()), (0, 1));
    assert!(of(&later, "default")["size"].as_u64().unwrap() > size);
    // A checkpoint that is kept elsewhere.
    let kept = world.folder.path().join("kept");
    let note = world.sql("SELECT checkpoint FROM batch WHERE log_id = (SELECT id FROM log WHERE name = 'default') ORDER BY new_size DESC LIMIT 1");
    std::fs::write(&kept, format!("{note}\n")).unwrap();
    let with_kept = ["--log", "default", "--checkpoint", kept.to_str().unwrap()];
    assert_eq!(verify(&world, &with_kept).0, 0);
    // What cannot be said.
    for (more, wanted) in [
        (&["--log", "nobody"][..], "there is no log nobody"),
        (&["--key", "x"], "--key:"),
        (&["--checkpoint", "/nowhere"], "cannot read /nowhere"),
        (&["--log", "_system", "--checkpoint", kept.to_str().unwrap()], "is no checkpoint of a log"),
        (&["--from", "x"], "invalid value"),
    ] {
        let (code, said, complained) = verify(&world, more);
        assert!(code == 2 && said.is_empty() && complained.contains(wanted), "{more:?}: {code} {complained}");
    }
    let nowhere = kakunin(&["log", "verify", "--data", "/nowhere"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
    // While it runs, and after.
    let place = "log_id = (SELECT id FROM log WHERE name = 'default') AND idx = 2";
    world.behind(
        "payload_update",
        &format!("UPDATE payload SET octets = zeroblob(length(octets)) WHERE {place}"),
    );
    for running in [true, false] {
        if !running {
            world.stop();
        }
        let (code, said, _) = verify(&world, &["--json"]);
        let bad = of(&json(&said), "default")["bad"].clone();
        assert_eq!((code, &bad["first"], &bad["last"]), (1, &2.into(), &2.into()), "{said}");
        assert_eq!(bad["code"], "payload_altered");
        let (code, said, _) = verify(&world, &[]);
        assert!(
            code == 1 && said.contains("default: 2 records from 0 on") && said.contains("bad at record 2: "),
            "{said}"
        );
        assert!(said.contains("_system") && said.contains(": good\n") && said.contains(key), "{said}");
    }
    // Cut off, with everything that the file says of it.
    let end = "log_id = (SELECT id FROM log WHERE name = 'default') AND";
    let size = world.sql(&format!("SELECT max(new_size) FROM batch WHERE {end} new_size <= 3"));
    let cut = format!(
        "DELETE FROM batch WHERE {end} new_size > {size}; DELETE FROM leaf WHERE {end} idx >= {size}; DELETE FROM payload WHERE {end} idx >= {size};"
    );
    world.sql(&format!(
        "DROP TRIGGER batch_delete; DROP TRIGGER leaf_delete; DROP TRIGGER payload_delete; {cut}"
    ));
    let (code, said, _) = verify(&world, &[with_kept.as_slice(), &["--from", &size, "--json"]].concat());
    assert_eq!((code, json(&said)["logs"][0]["bad"]["code"].as_str()), (1, Some("log_cut_off")), "{said}");
}

#[test]
fn what_follows_from_the_logs_is_made_anew() {
    let mut world = World::new();
    world.agent("one");
    let (agent, _) = world.agent("two");
    world.made(&format!("/api/v1/agents/{agent}/halt"), "{\"reason\":\"kill_switch_activated\"}");
    let rebuild = |world: &World, more: &[&str]| run(world, &["rebuild"], more);
    let (code, said, complained) = rebuild(&world, &[]);
    assert!(code == 2 && said.is_empty() && complained.contains("in use"), "{code} {complained}");
    world.stop();
    let (code, said, complained) = rebuild(&world, &["--json"]);
    let report = json(&said);
    assert_eq!(
        (code, &report["equal"], &report["written"]),
        (0, &Value::Bool(true), &Value::Bool(false)),
        "{said} {complained}"
    );
    let table = |report: &Value, name: &str| {
        let tables = report["tables"].as_array().unwrap();
        tables.iter().find(|t| t["table"] == name && t["log"] == "default").unwrap().clone()
    };
    assert_eq!(table(&report, "agent")["before"], table(&report, "agent")["after"]);
    assert_eq!(table(&report, "agent")["before"]["rows"], 2);
    let agents = table(&report, "agent")["after"]["sha256"].clone();
    world.sql("DELETE FROM state WHERE kind = 5");
    for (more, code, end) in [
        (&["--dry-run"][..], 1, "without --dry-run it is made so"),
        (&[], 1, "what differed is now what the logs say"),
        (&[], 0, "nothing was written"),
    ] {
        let (ended, said, _) = rebuild(&world, more);
        assert!(ended == code && said.ends_with(end), "{more:?}: {ended} {said}");
        assert_eq!(said.contains("default inbox: 0 rows e3b0c442"), code == 1, "{said}");
    }
    world.start();
    world.well();
    assert_eq!(world.state(&agent), "suspended");
    // What was on record when the server ended says the same.
    let (_, found) = world.call("GET", "/api/v1/audit-log?kind=state.snapshot&limit=1", "");
    let tables = found["data"][0]["metadata"]["record"]["state_snapshot"]["tables"]
        .as_array()
        .unwrap_or_else(|| panic!("{found}"));
    assert_eq!(tables.iter().find(|t| t["table"] == "agent").unwrap()["sha256"], agents);
}
