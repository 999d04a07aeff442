//! Whoever listens is told of each record that is not an event, once, by whoever asked for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use kakunin_core::agent::NewAgent;
use kakunin_core::event::Event;
use kakunin_core::id::TenantId;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::ModelId;
use kakunin_core::risk::weighted::{Weighted, Weights};
use kakunin_core::service::{Config, Kakunin, KeySource, Parts, RecordListener, ScoresDiffer, rescore};
use kakunin_core::store::MemoryStore;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

/// What was told, and by which thread.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(LogId, u64, Record, ThreadId)>>);

impl RecordListener for Heard {
    fn recorded(&self, log: &LogId, index: u64, record: &Record) {
        let told = (log.clone(), index, record.clone(), std::thread::current().id());
        self.0.lock().unwrap().push(told);
    }
}

#[test]
fn each_record_is_told_once_by_whoever_asked_for_it_and_none_again() {
    let (heard, keys) = (Arc::new(Heard::default()), Arc::new(LocalKeys::ephemeral()));
    let parts = Parts { listener: heard.clone(), ..Parts::new(MemoryStore::new(), keys) };
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    // As many as there are lose their identities.
    config.policy.breaker = None;
    let kakunin = block_on(Kakunin::open(config.clone(), parts.clone())).unwrap();
    let acme: TenantId = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    // Many at once, so that one of them writes for others.
    let life = |n: usize| {
        let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap().id;
        let issued = block_on(kakunin.tenant(&acme).certify(&agent, Profile::Standard, P256)).unwrap();
        let refused = |_| Event::refused(issued.facts.serial, "delete:backups".parse().unwrap());
        let seen = block_on(kakunin.tenant(&acme).observe_all((0..200).map(refused).collect())).unwrap();
        if !seen.iter().flatten().any(|observed| observed.revoked) {
            block_on(kakunin.tenant(&acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
        }
        (agent, std::thread::current().id())
    };
    let owners: BTreeMap<_, _> = std::thread::scope(|scope| {
        let lives: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn({
                    let life = &life;
                    move || life(n)
                })
            })
            .collect();
        lives.into_iter().map(|life| life.join().unwrap()).collect()
    });
    let told = std::mem::take(&mut *heard.0.lock().unwrap());
    let ours = told.iter().filter(|(log, ..)| *log == LogId::Tenant(acme.clone()));
    let told: BTreeMap<_, _> =
        ours.clone().map(|(_, index, record, by)| (*index, (record.clone(), *by))).collect();
    assert_eq!(told.len(), ours.count(), "none twice");
    let entries = block_on(kakunin.tenant(&acme).entries(0, 10_000)).unwrap();
    let records: BTreeMap<_, _> =
        (0..).zip(entries.iter().map(|entry| Record::open(entry).unwrap())).collect();
    let control = |record: &Record| matches!(record.body, Body::Control(_));
    let logged: Vec<_> = records.iter().filter(|(_, record)| control(record)).collect();
    assert_eq!(told.len(), logged.len());
    let mut revoked = 0;
    for (index, record) in logged {
        let (said, by) = &told[index];
        assert_eq!(said, record);
        assert_eq!(record.agent.map(|agent| owners[&agent]), Some(*by), "another told of {record:?}");
        let Body::Control(control) = &record.body else { panic!() };
        revoked += usize::from(matches!(**control, Control::CertificateRevoked { .. }));
    }
    assert_eq!(revoked, 8);
    // What is read back was told before.
    drop(kakunin);
    let again = block_on(Kakunin::open(config, parts)).unwrap();
    block_on(again.load()).unwrap();
    assert!(heard.0.lock().unwrap().is_empty());
}

/// What was said of scores.
#[derive(Debug, Default)]
struct Scores(Mutex<Vec<(LogId, ScoresDiffer)>>);

impl RecordListener for Scores {
    fn recorded(&self, _: &LogId, _: u64, _: &Record) {}

    fn scores_differ(&self, log: &LogId, differing: &ScoresDiffer) {
        self.0.lock().unwrap().push((log.clone(), *differing));
    }
}

#[test]
fn scores_that_come_out_otherwise_than_they_are_on_record_are_told_of() {
    let (said, keys) = (Arc::new(Scores::default()), Arc::new(LocalKeys::ephemeral()));
    let parts = Parts { listener: said.clone(), ..Parts::new(MemoryStore::new(), keys) };
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let acme: TenantId = "acme".parse().unwrap();
    let open = |config: &Config| block_on(Kakunin::open(config.clone(), parts.clone())).unwrap();
    let kakunin = open(&config);
    block_on(kakunin.create_tenant(&acme)).unwrap();
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap().id;
    let serial =
        block_on(kakunin.tenant(&acme).certify(&agent, Profile::Standard, P256)).unwrap().facts.serial;
    let first = block_on(kakunin.tenant(&acme).entries(0, 100)).unwrap().len();
    let refused = |_| Event::refused(serial, "delete:backups".parse().unwrap());
    block_on(kakunin.tenant(&acme).observe_all((0..3).map(refused).collect())).unwrap();
    drop(kakunin);
    block_on(open(&config).load()).unwrap();
    assert!(said.0.lock().unwrap().is_empty(), "by the same model they are the same");
    let model = Arc::new(Weighted::with_weights(
        ModelId("weighted/2".into()),
        Weights { out_of_scope: 1, ..Weights::V1 },
    ));
    let other = Parts { model, ..parts.clone() };
    // Only looking at them tells nobody, and changes nothing.
    let looked = |parts: &Parts| block_on(rescore(config.clone(), parts.clone(), None, None)).unwrap();
    let [same, differ] = [&parts, &other].map(looked);
    assert_eq!(looked(&parts), same);
    let all: Vec<_> = (first..first + 3).map(|index| u64::try_from(index).unwrap()).collect();
    let [of] = same.as_slice() else { panic!("{same:?}") };
    assert_eq!((&of.log, of.compared, of.differing), (&LogId::Tenant(acme.clone()), 3, 0));
    let [of] = differ.as_slice() else { panic!("{differ:?}") };
    assert_eq!((of.compared, of.differing), (3, 3));
    assert_eq!(of.named.iter().map(|score| score.index).collect::<Vec<_>>(), all);
    assert!(of.named.iter().all(|score| score.recorded > score.folded), "{of:?}");
    assert!(said.0.lock().unwrap().is_empty());
    block_on(block_on(Kakunin::open(config, other)).unwrap().load()).unwrap();
    let said = said.0.lock().unwrap();
    let [(log, differing)] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!((log, differing.count), (&LogId::Tenant(acme), 3));
    assert_eq!(differing.first, u64::try_from(first).unwrap());
    assert_ne!(differing.recorded, differing.folded);
}
