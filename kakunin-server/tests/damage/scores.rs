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
        model: Arc::new(Weighted::with_weights(ModelId("mild".into()), weights)),
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
    assert_eq!(
        (code, &report["equal"], &report["model"]),
        (0, &true.into(), &"weighted/1".into()),
        "{complained}"
    );
    let log = json!({"log": "default", "compared": 3, "differing": 0, "scores": []});
    assert_eq!(report["logs"], json!([log]));
    let (code, said, _) = replay(&world, &["--model", "weighted/1"]);
    assert_eq!(
        (code, said.as_str()),
        (0, "default: 3 scores compared, 0 differ\nevery score is what weighted/1 makes of the log")
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
