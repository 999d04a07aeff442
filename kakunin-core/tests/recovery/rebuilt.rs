//! State that is rebuilt from the log.

use std::sync::Arc;

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Record};
use kakunin_core::revoke::Reason;
use kakunin_core::risk::Score;
use kakunin_core::service::{Config, Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind, StateStore};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::world::{acme, assert_known, config, live, look, parts};

#[test]
fn lost_state_is_rebuilt_from_the_log_bit_for_bit() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    let before = look(&kakunin, &agents);
    assert_eq!(before.0[2].0.state, AgentState::Suspended, "the life had a revocation in it");
    assert!(before.0[2].2.is_some() && before.0[3].2 == Some(Reason::CertificateHold));
    assert_known(&kakunin, agents[0].1);
    drop(kakunin);
    let restarted = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    assert_known(&restarted, agents[0].1);
    drop(restarted);
    // A new, empty store for both projections; the vault is backed up apart, as documented.
    let empty = Arc::new(MemoryStore::new());
    let secrets = block_on(parts.state.scan(&LogId::System, Kind::Vault, None, 1_000)).unwrap();
    let of = |(key, value)| Change { kind: Kind::Vault, key, value: Some(value) };
    let vault: Vec<_> = secrets.into_iter().map(of).collect();
    block_on(empty.put(&LogId::System, &vault)).unwrap();
    let rebuilt = Parts { state: empty.clone(), revocations: empty, ..parts };
    let kakunin = block_on(Kakunin::open(config(), rebuilt)).unwrap();
    assert_eq!(look(&kakunin, &agents), before);
    assert_known(&kakunin, agents[0].1);
}

/// The score after each event, as the log has it, of one life in a deployment of its own.
fn scores_of_a_life() -> Vec<Option<Score>> {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    live(&kakunin, &clock);
    let entries = block_on(kakunin.tenant(&acme()).entries(0, 10_000)).unwrap();
    let score = |record: Record| match record.body {
        Body::Event(act, _) => Some(act.score),
        Body::Control(_) => None,
    };
    entries.iter().filter_map(|e| score(Record::open(e).unwrap())).collect()
}

#[test]
fn the_same_behaviour_gives_the_same_scores_whatever_the_names_and_keys() {
    let scores = scores_of_a_life();
    assert_eq!(scores, scores_of_a_life());
    assert!(scores.iter().flatten().any(|s| *s > Score::default()));
}

#[test]
fn a_snapshot_changes_nothing() {
    for snapshot in [false, true] {
        let (parts, clock) = parts();
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        let agents = live(&kakunin, &clock);
        if snapshot {
            block_on(kakunin.snapshot()).unwrap();
            let event = Event::new(agents[0].1, "read:a".parse().unwrap(), Outcome::Error);
            block_on(kakunin.tenant(&acme()).observe(event)).unwrap();
        }
        let before = look(&kakunin, &agents);
        drop(kakunin);
        let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
        assert_eq!(look(&kakunin, &agents), before, "snapshot: {snapshot}");
    }
}

#[test]
fn data_of_another_deployment_is_refused() {
    let (parts, _) = parts();
    drop(block_on(Kakunin::open(config(), parts.clone())).unwrap());
    let other = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        block_on(Kakunin::open(config, parts.clone())).unwrap_err()
    };
    for error in [
        other(&|c| c.trust_domain = "other.example".parse().unwrap()),
        other(&|c| c.public_url = "http://other.example".into()),
        other(&|c| c.arc = "1.3.6.1.4.1.99999".into()),
    ] {
        assert_eq!(error.code(), "deployment_mismatch");
        assert!(error.to_string().contains("another deployment"), "{error}");
    }
    let keys = Parts { keys: Arc::new(LocalKeys::ephemeral()), ..parts };
    let error = block_on(Kakunin::open(config(), keys)).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().contains("provider of this deployment")),
        ("key_not_found", true)
    );
}
