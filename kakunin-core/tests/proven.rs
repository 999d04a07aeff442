//! Proofs of records: of those just appended and of old ones, from stored hashes, without them, and from wrong ones.

#![cfg(feature = "service")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{MODEL, P256, config, deployment, parts, reopened};
use kakunin_core::error::StoreError;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::merkle::{leaf_hash, root, verify_consistency};
use kakunin_core::log::note::VerifierKey;
use kakunin_core::log::proof::TlogProof;
use kakunin_core::prelude::*;
use kakunin_core::service::{Error, Parts, Tenant};
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::state::{Change, Kind};
use kakunin_core::time::ManualClock;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

/// Counts what is read of logs.
#[derive(Debug)]
struct Counting(Arc<dyn AuditSink>, AtomicUsize);

#[async_trait]
impl AuditSink for Counting {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.0.append(appends).await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.1.fetch_add(limit, Ordering::Relaxed);
        self.0.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
    async fn room(&self) -> Room {
        self.0.room().await
    }
}

fn n(value: usize) -> u64 {
    u64::try_from(value).unwrap()
}

struct World {
    parts: Parts,
    clock: Arc<ManualClock>,
    reads: Arc<Counting>,
    kakunin: Kakunin,
    tenant: Tenant,
    serial: Serial,
}

fn world() -> World {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    let reads = Arc::new(Counting(parts.sink.clone(), AtomicUsize::new(0)));
    parts.sink = reads.clone();
    let (kakunin, acme) = deployment(config(), &parts);
    let tenant = kakunin.tenant(&acme);
    let agent = block_on(tenant.register(NewAgent::new("desk", MODEL, ["read:mail"]).unwrap())).unwrap();
    let issued = block_on(tenant.certify(&agent.id, Profile::Standard, P256)).unwrap();
    World { parts, clock, reads, kakunin, tenant, serial: issued.facts.serial }
}

impl World {
    fn log(&self) -> LogId {
        LogId::Tenant(self.tenant.id().clone())
    }

    /// Gives the indices.
    fn observe(&self, count: usize) -> Vec<u64> {
        let event = || Event::new(self.serial, "read:mail".parse().unwrap(), Outcome::Ok);
        let seen = block_on(self.tenant.observe_all((0..count).map(|_| event()).collect())).unwrap();
        seen.into_iter().map(|seen| seen.unwrap().index.unwrap()).collect()
    }

    fn key(&self) -> VerifierKey {
        VerifierKey::parse(&block_on(self.tenant.log_verifier()).unwrap()).unwrap()
    }

    fn size(&self) -> u64 {
        let note = block_on(self.tenant.checkpoint()).unwrap().unwrap();
        Checkpoint::open(&note, &self.key()).unwrap().size
    }

    fn rows(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        block_on(self.parts.state.scan(&self.log(), Kind::Tile, None, 10_000)).unwrap()
    }

    /// Runs what follows the logs until there are so many rows.
    fn follow(&self, rows: usize) {
        let kakunin = self.kakunin.clone();
        let stop = Arc::new(());
        let runs = Arc::downgrade(&stop);
        let runner = std::thread::spawn(move || {
            let sleep = |_| {
                let due = Instant::now() + Duration::from_millis(5);
                std::future::poll_fn(move |_| match Instant::now() < due {
                    true => std::task::Poll::Pending,
                    false => std::task::Poll::Ready(()),
                })
            };
            let mut run = std::pin::pin!(kakunin.run(sleep));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            while runs.upgrade().is_some() {
                let _ = run.as_mut().poll(&mut context);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let began = Instant::now();
        while self.rows().len() != rows {
            assert!(began.elapsed() < Duration::from_secs(20), "{} rows", self.rows().len());
            self.clock.set(self.kakunin_now().plus(50));
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(stop);
        runner.join().unwrap();
    }

    fn kakunin_now(&self) -> UnixTime {
        use kakunin_core::time::Clock;
        self.clock.now()
    }

    fn read_for<T>(&self, call: impl Future<Output = T>) -> (T, usize) {
        let before = self.reads.1.load(Ordering::Relaxed);
        let done = block_on(call);
        (done, self.reads.1.load(Ordering::Relaxed) - before)
    }

    fn holds(&self, index: u64) -> u64 {
        let proven = block_on(self.tenant.prove(index)).unwrap();
        let stored = block_on(self.tenant.entries(index, 1)).unwrap();
        assert_eq!((proven.proof.index, &proven.leaf), (index, &stored[0].leaf));
        let text = proven.proof.to_text();
        TlogProof::parse(&text).unwrap().verify(&proven.leaf, &self.key()).unwrap().size
    }
}

/// What was just appended is proved by the checkpoint that was signed with it, and nothing is read for that.
#[test]
fn an_append_is_proved_by_its_own_checkpoint() {
    let w = world();
    let first = (w.observe(7), w.size());
    let second = (w.observe(300), w.size());
    for (indices, size) in [&first, &second] {
        for index in [indices[0], indices[3], *indices.last().unwrap()] {
            let (proven, read) = w.read_for(w.tenant.prove(index));
            let proven = proven.unwrap();
            assert_eq!(read, 0);
            assert_eq!(proven.proof.verify(&proven.leaf, &w.key()).unwrap().size, *size, "{index}");
        }
        // The agent's band changed meanwhile, and that is between them.
        let range = indices[0]..indices.last().unwrap() + 1;
        let (proven, read) = w.read_for(w.tenant.prove_range(range.clone()));
        let proven = proven.unwrap();
        let hashes: Vec<_> = proven.leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        assert_eq!((read, n(hashes.len()), proven.proof.first), (0, range.end - range.start, range.start));
        assert_eq!(proven.proof.verify(&hashes, &w.key()).unwrap().size, *size);
    }
    // Of two appends it is proved by what is signed now.
    let across = block_on(w.tenant.prove_range(first.0[3]..second.0[5])).unwrap();
    let hashes: Vec<_> = across.leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    assert_eq!(across.proof.verify(&hashes, &w.key()).unwrap().size, second.1);
}

/// What a restart forgot, and what was appended long ago.
#[test]
fn old_records_are_proved_from_stored_hashes_and_without_them() {
    let w = world();
    for _ in 0..4 {
        w.observe(900);
    }
    let kakunin = reopened(config(), &w.parts);
    let w = World { tenant: kakunin.tenant(w.tenant.id()), kakunin, ..w };
    let size = w.size();
    let tiles = usize::try_from(size / 256).unwrap();
    let probes = [0, 1, 255, 256, 1_000, size - 2, size - 1];
    assert!(probes.iter().all(|index| w.holds(*index) == size), "without a row");
    let (_, cold) = w.read_for(w.tenant.prove(5));
    w.follow(tiles + 1);
    let (_, warm) = w.read_for(w.tenant.prove(5));
    assert!(cold > 3_000 && warm <= 1 + 2 * 256, "{cold} leaves without rows, {warm} with them");
    assert!(probes.iter().all(|index| w.holds(*index) == size), "with all rows");
    // It goes on with the log, and what is behind is made from the leaves.
    w.observe(400);
    let longer = w.size();
    assert!([0, 3_000, size, longer - 1].iter().all(|index| w.holds(*index) == longer));
    w.follow(usize::try_from(longer / 256).unwrap() + 1);
    assert!([0, 3_000, size, longer - 1].iter().all(|index| w.holds(*index) == longer));
    let range = block_on(w.tenant.prove_range(100..1_200)).unwrap();
    let hashes: Vec<_> = range.leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    assert_eq!(range.proof.verify(&hashes, &w.key()).unwrap().size, longer);
}

#[test]
fn a_log_is_proved_to_have_only_grown() {
    let w = world();
    let first = block_on(w.tenant.checkpoint()).unwrap().unwrap();
    w.observe(600);
    let old = Checkpoint::open(&first, &w.key()).unwrap();
    let grown = block_on(w.tenant.prove_growth(old.size)).unwrap();
    let new = Checkpoint::open(&grown.checkpoint, &w.key()).unwrap();
    assert!(new.size >= old.size + 600);
    verify_consistency((old.size, &old.root), (new.size, &new.root), &grown.hashes).unwrap();
    let leaves: Vec<_> = block_on(w.tenant.entries(0, 1_000)).unwrap();
    let leaves: Vec<_> = leaves.iter().map(|entry| leaf_hash(&entry.leaf)).collect();
    for size in [1, 2, 255, 256, 300, new.size - 1, new.size] {
        let grown = block_on(w.tenant.prove_growth(size)).unwrap();
        let earlier = root(&leaves[..usize::try_from(size).unwrap()]);
        verify_consistency((size, &earlier), (new.size, &new.root), &grown.hashes).unwrap();
    }
    assert!(block_on(w.tenant.prove_growth(0)).unwrap().hashes.is_empty());
    assert!(matches!(block_on(w.tenant.prove_growth(new.size + 1)), Err(Error::NotFound(_))));
}

/// Rows are no secret and under no seal: one that somebody changed makes no wrong proof.
#[test]
fn wrong_rows_make_no_wrong_proof() {
    let w = world();
    for _ in 0..3 {
        w.observe(700);
    }
    let kakunin = reopened(config(), &w.parts);
    let w = World { tenant: kakunin.tenant(w.tenant.id()), kakunin, ..w };
    w.follow(8 + 1);
    let written = w.rows();
    let (key, _) = written[3].clone();
    let wrong = [Change { kind: Kind::Tile, key, value: Some(vec![7; 32]) }];
    block_on(w.parts.state.put(&w.log(), &wrong)).unwrap();
    let damage = || w.kakunin.damage().count;
    assert_eq!(damage(), 0);
    w.holds(0);
    assert_eq!((damage(), w.rows().len()), (1, 0), "it is told of, and all rows are taken away");
    w.holds(0);
    w.follow(8 + 1);
    assert_eq!(w.rows(), written, "they are made anew");
    let (_, read) = w.read_for(w.tenant.prove(0));
    assert!(read <= 1 + 2 * 256 && damage() == 1, "{read}");
    // As are all of them if somebody says that they are there.
    let none: Vec<_> = written
        .iter()
        .skip(1)
        .map(|(key, _)| Change { kind: Kind::Tile, key: key.clone(), value: None })
        .collect();
    block_on(w.parts.state.put(&w.log(), &none)).unwrap();
    w.holds(0);
}

#[test]
fn what_is_not_there_is_not_proved() {
    let w = world();
    w.observe(3);
    let end = w.size();
    for index in [end, end + 1, u64::MAX] {
        assert!(matches!(block_on(w.tenant.prove(index)), Err(Error::NotFound(_))), "{index}");
    }
    for range in [0..0, 3..3, 0..end + 1, end..end + 1, 0..u64::MAX, u64::MAX - 1..u64::MAX] {
        assert!(
            matches!(block_on(w.tenant.prove_range(range.clone())), Err(Error::NotFound(_))),
            "{range:?}"
        );
    }
    let nobody = w.kakunin.tenant(&"nobody".parse().unwrap());
    assert!(matches!(block_on(nobody.prove(0)), Err(Error::NotFound(_))));
    let other: TenantId = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    assert!(
        matches!(block_on(w.kakunin.tenant(&other).prove(end - 1)), Err(Error::NotFound(_))),
        "another's log"
    );
}
