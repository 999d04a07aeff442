//! `kakunin risk replay`: each score on record is what the model makes of the log, or its record is named.

use std::sync::Arc;

use kakunin_core::event::Event;
use kakunin_core::id::TenantId;
use kakunin_core::risk::ModelId;
use kakunin_core::risk::weighted::{Weighted, Weights};
use kakunin_core::service::{Config, Kakunin, Parts};
use kakunin_core::store::sqlite::{SqliteStore, SqliteVault};
use kakunin_kms::local::{LocalKeys, Secret};
use pollster::block_on;
use serde_json::{Value, json};

use crate::binary::kakunin;
use crate::logs::{json, run};
use crate::world::World;

fn replay(world: &World, more: &[&str]) -> (i32, String, String) {
    run(world, &["risk", "replay"], more)
}

/// Takes refused events in, in place of the server, by a model that makes less of them; gives their places in the log.
fn by_another_model(world: &World, serial: &str, count: usize) -> Vec<u64> {
    let data = world.data();
    let secret = Secret::from_key_file(data.join("key.secret")).unwrap();
    let keys = Arc::new(LocalKeys::open(data.join("keys"), &secret).unwrap());
    let store = Arc::new(SqliteStore::open(data.join("kakunin.db")).unwrap());
    let weights = Weights { out_of_scope: 100_000, ..Weights::V1 };
    let parts = Parts {
        vault: Some(Arc::new(SqliteVault::open(data.join("vault.db")).unwrap())),
        model: Arc::new(Weighted::with_weights(ModelId("weighted/2".into()), weights)),
        ..Parts::shared(store, keys)
    };
    let (domain, public_url, _) = block_on(Kakunin::made_as(&parts)).unwrap().unwrap();
    let config = Config { public_url, ..Config::new(&domain.to_string()).unwrap() };
    let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
    let tenant: TenantId = "default".parse().unwrap();
    let refused = |_| Event::refused(serial.parse().unwrap(), "delete:vault".parse().unwrap());
    let events = (0..count).map(refused).collect();
    let observed = block_on(kakunin.tenant(&tenant).observe_all(events)).unwrap();
    observed.into_iter().map(|event| event.unwrap().index.unwrap()).collect()
}

#[test]
fn scores_on_record_are_made_anew_and_those_of_another_model_are_named() {
    let mut world = World::new();
    let (_, serial) = world.agent("one");
    for action in ["read:a", "delete:vault", "read:a"] {
        let body = json!({"serial": serial, "action": action, "outcome": "ok"}).to_string();
        assert_eq!(world.call("POST", "/api/v1/events", &body).0, "201");
    }
    let (code, said, complained) = replay(&world, &[]);
    assert!(code == 2 && said.is_empty() && complained.contains("in use"), "{code} {complained}");
    world.stop();
    let before = world.sql(".dump");
    let (code, said, complained) = replay(&world, &["--json"]);
    let report = json(&said);
    assert_eq!((code, &report["equal"], &report["model"]), (0, &true.into(), &Value::Null), "{complained}");
    let log = json!({"log": "default", "compared": 3, "differing": 0, "scores": []});
    assert_eq!(report["logs"], json!([log]));
    let (code, said, _) = replay(&world, &["--model", "weighted/2"]);
    assert_eq!(
        (code, said.as_str()),
        (0, "default: 3 scores compared, 0 differ\nevery score is what weighted/2 makes of the log")
    );
    assert_eq!(world.sql(".dump"), before, "it changes nothing");
    let indices = by_another_model(&world, &serial, 12);
    let (code, said, complained) = replay(&world, &["--json"]);
    let (report, log) = (json(&said), &json(&said)["logs"][0]);
    assert_eq!((code, &report["equal"]), (1, &false.into()), "{said} {complained}");
    assert_eq!((&log["compared"], &log["differing"]), (&15.into(), &12.into()), "{said}");
    let named: Vec<_> =
        log["scores"].as_array().unwrap().iter().map(|score| score["index"].as_u64()).collect();
    assert_eq!(named, indices.iter().map(|index| Some(*index)).collect::<Vec<_>>());
    let less = |score: &Value| score["recorded"].as_u64() < score["computed"].as_u64();
    assert!(log["scores"].as_array().unwrap().iter().all(less), "{log}");
    let (code, said, _) = replay(&world, &[]);
    assert_eq!(code, 1);
    assert!(said.contains(&format!("  record {}: the log says 0.", indices[0])), "{said}");
    assert!(
        said.contains("and more; --json names the first 12") && said.contains("of another model"),
        "{said}"
    );
}

#[test]
fn scores_of_a_log_that_was_not_signed_so_are_not_compared() {
    let mut world = World::new();
    let (_, serial) = world.agent("one");
    let body = json!({"serial": serial, "action": "delete:vault", "outcome": "denied"}).to_string();
    assert_eq!(world.call("POST", "/api/v1/events", &body).0, "201");
    world.stop();
    // Rows beside the log are not asked.
    world.sql("DELETE FROM state WHERE kind = 5");
    assert_eq!(replay(&world, &[]).0, 0);
    let log = "(SELECT id FROM log WHERE name = 'default')";
    let last = format!("log_id = {log} AND idx = (SELECT max(idx) FROM leaf WHERE log_id = {log})");
    world.behind("leaf_update", &format!("UPDATE leaf SET leaf = zeroblob(length(leaf)) WHERE {last}"));
    let (code, said, complained) = replay(&world, &[]);
    assert!(code == 2 && said.is_empty() && !complained.contains("panicked"), "{code} {said} {complained}");
    let nowhere = kakunin(&["risk", "replay", "--data", "/nowhere"]).output().unwrap();
    let complained = String::from_utf8(nowhere.stderr).unwrap();
    assert!(nowhere.status.code() == Some(2) && complained.contains("/nowhere"), "{complained}");
}

#[test]
fn a_simulation_says_what_another_model_or_policy_would_have_done() {
    let mut world = World::new();
    let (agent, serial) = world.agent("one");
    // Until it has no certificate any more.
    let tried = (0..40).find(|n| {
        let body = json!({"serial": serial, "action": "delete:vault", "outcome": "denied", "target": format!("t{n}")});
        world.call("POST", "/api/v1/events", &body.to_string()).0 == "422"
    });
    assert!(tried.is_some());
    let simulate = |world: &World, more: &[&str]| run(world, &["risk", "simulate"], more);
    let (code, said, complained) = simulate(&world, &["--model", "weighted/1"]);
    assert!(code == 2 && said.is_empty() && complained.contains("in use"), "{code} {complained}");
    world.stop();
    let before = world.sql(".dump");
    let (code, said, complained) = simulate(&world, &["--model", "weighted/2", "--json"]);
    assert_eq!(code, 0, "{complained}");
    let report = json(&said);
    let told = &report["logs"][0]["told"][0];
    assert_eq!((&told["agent"], &told["name"]), (&json!(agent), &json!("one")));
    assert!(told["recorded"]["revoked"]["index"].is_u64(), "{report}");
    assert_eq!(
        told["simulated"]["revoked"]["index"], told["recorded"]["revoked"]["index"],
        "it was that model"
    );
    let policy = world.data().join("policy.json");
    let shown = json!({"since": null, "model": "weighted/2", "policy": {
        "thresholds": {"medium": 0.3, "warning": 0.75, "revoke": 0.85}, "hysteresis": 0.05, "mode": "warn",
        "minimum": {"events": 3}, "ceilings": {"low": "standard", "medium": "elevated", "warning": "high-risk"},
        "breaker": null, "second_approver": {"revoke": false, "release": false, "policy": false},
    }});
    std::fs::write(&policy, shown.to_string()).unwrap();
    let path = policy.display().to_string();
    let (code, said, complained) = simulate(&world, &["--policy", &path]);
    assert_eq!(code, 0, "{complained}");
    assert!(said.contains("warned of 1 (on record 1), revoked 0 (on record 1)"), "{said}");
    assert!(
        said.contains("would be warned of by event") && said.contains("on record revoked by event"),
        "{said}"
    );
    for (wrong, why) in [("{}", "thresholds"), ("", "EOF"), ("{\"policy\": 1}", "policy")] {
        std::fs::write(&policy, wrong).unwrap();
        let (code, said, complained) = simulate(&world, &["--policy", &path]);
        assert!(
            code == 2 && said.is_empty() && complained.contains("--policy"),
            "{why}: {code} {complained}"
        );
    }
    for nothing in [&[][..], &["--model", "weighted/9"], &["--policy", "/nowhere"]] {
        assert_eq!(simulate(&world, nothing).0, 2);
    }
    assert_eq!(world.sql(".dump"), before, "it changes nothing");
}
