//! What logs amount to, on record.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::record::{Body, Control, Record, RowsHash, Sha256Hash, StateSnapshot};
use kakunin_core::service::{Damage, Kakunin, Parts, decrypted};
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::state::{Change, Kind};
use kakunin_core::time::{Clock, HOUR, MINUTE};
use pollster::block_on;
use sha2::{Digest, Sha256};

use crate::common::sink::{Does, Sink};
use crate::common::state::State;
use crate::world::{NOW, acme, agent, config, live, look, parts};

fn of_acme() -> LogId {
    LogId::Tenant(acme())
}

/// Each of a log, with its index.
fn on_record(parts: &Parts, log: &LogId) -> Vec<(u64, StateSnapshot)> {
    let sink = block_on(decrypted(parts.sink.clone(), parts.vault(), &*parts.log_keys)).unwrap();
    let entries = block_on(sink.read(log, 0, 100_000)).unwrap();
    let snapshot = |(index, entry): (u64, &Entry)| match Record::open(entry).unwrap().body {
        Body::Control(control) => match *control {
            Control::StateSnapshot(snapshot) => Some((index, snapshot)),
            _ => None,
        },
        Body::Event(..) => None,
    };
    (0..).zip(&entries).filter_map(snapshot).collect()
}

fn act(kakunin: &Kakunin, serial: kakunin_core::id::Serial) {
    let event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    block_on(kakunin.tenant(&acme()).observe(event)).unwrap();
}

/// As `docs/AUDIT-LOG.md` says it.
fn hash(rows: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> RowsHash {
    let (mut sha, mut count) = (Sha256::new(), 0);
    for part in rows.into_iter().inspect(|_| count += 1).flat_map(|(key, value)| [key, value]) {
        sha.update(u64::try_from(part.len()).unwrap().to_be_bytes());
        sha.update(&part);
    }
    RowsHash { rows: count, sha256: Sha256Hash(sha.finalize().into()) }
}

#[test]
fn each_table_is_committed_to_as_anybody_computes_it() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    live(&kakunin, &clock);
    block_on(kakunin.snapshot()).unwrap();
    let of_tenant = [
        (Kind::Agent, "agent"),
        (Kind::Certificate, "certificate"),
        (Kind::Standing, "standing"),
        (Kind::Dedup, "dedup"),
        (Kind::Inbox, "inbox"),
        (Kind::Policy, "policy"),
        (Kind::Breaker, "breaker"),
        (Kind::Approval, "approval"),
        (Kind::Webhook, "webhook"),
    ];
    let of_system = [
        (Kind::Deployment, "deployment"),
        (Kind::Authority, "authority"),
        (Kind::Tenant, "tenant"),
        (Kind::ApiKey, "api_key"),
        (Kind::ApiKeyCommitment, "api_key_commitment"),
        (Kind::CrlMark, "crl_mark"),
    ];
    for (log, kinds, mac) in [(of_acme(), &of_tenant[..], 16), (LogId::System, &of_system, 0)] {
        let (index, snapshot) = on_record(&parts, &log).pop().unwrap();
        let size = block_on(parts.sink.head(&log)).unwrap().0.frontier.size();
        assert_eq!((index, snapshot.size), (size - 1, size - 1));
        assert_eq!(snapshot.tables.len(), kinds.len());
        for ((kind, name), table) in kinds.iter().zip(&snapshot.tables) {
            let rows = block_on(kakunin.read_rows(&log, *kind)).unwrap();
            let bare = rows.into_iter().map(|(key, mut value)| {
                value.truncate(value.len() - mac);
                (key, value)
            });
            assert_eq!((table.table.as_str(), table.hash), (*name, hash(bare)), "{log}");
        }
    }
    let filled = on_record(&parts, &of_acme()).pop().unwrap().1;
    assert!(filled.tables.iter().filter(|table| table.hash.rows > 0).count() >= 5, "{filled:?}");
    assert_eq!(filled.histories.unwrap().hash.rows, 3 * 5, "history, tally and usage of each agent");
    let system = on_record(&parts, &LogId::System).pop().unwrap().1;
    let issuer = kakunin.issuer().id();
    let standing = block_on(parts.revocations.after(&issuer, 0, 1_000)).unwrap();
    let rows =
        standing.iter().map(|(index, r)| (index.to_be_bytes().to_vec(), serde_json::to_vec(r).unwrap()));
    let revoked = &system.revocations[0];
    assert!(standing.len() > 2);
    assert_eq!((revoked.issuer, revoked.hash), (issuer, hash(rows)));
    assert_eq!(revoked.size, block_on(parts.revocations.applied(&issuer)).unwrap());
}

#[test]
fn the_same_log_has_the_same_histories_whatever_was_stored_of_them() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    block_on(kakunin.snapshot()).unwrap();
    act(&kakunin, agents[0].1);
    drop(kakunin);
    // From the stored histories and a record; from the beginning.
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.load()).unwrap();
    block_on(kakunin.snapshot()).unwrap();
    let first = on_record(&parts, &of_acme()).pop().unwrap().1;
    drop(kakunin);
    let rows = block_on(parts.state.scan(&of_acme(), Kind::Risk, None, 1_000)).unwrap();
    let gone = |(key, _)| Change { kind: Kind::Risk, key, value: None };
    block_on(parts.state.put(&of_acme(), &rows.into_iter().map(gone).collect::<Vec<_>>())).unwrap();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    act(&kakunin, agents[1].1);
    let looked = look(&kakunin, &agents);
    block_on(kakunin.snapshot()).unwrap();
    let second = on_record(&parts, &of_acme()).pop().unwrap().1;
    assert_ne!(first.histories, second.histories, "something happened in between");
    drop(kakunin);
    let again = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    assert_eq!(look(&again, &agents), looked);
    act(&again, agents[1].1);
    block_on(again.snapshot()).unwrap();
    crate::common::assert_folded(&config(), &parts);
}

#[test]
fn it_is_done_once_an_hour_and_not_for_a_log_in_which_nothing_happens() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (_, serial) = agent(&kakunin, "one");
    let mut at = NOW;
    let mut run = |minutes: u64, acts: bool| {
        for _ in 0..minutes {
            at = at.plus(MINUTE);
            clock.set(at);
            if acts {
                act(&kakunin, serial);
            }
            block_on(kakunin.tend()).unwrap();
        }
        [of_acme(), LogId::System].map(|log| on_record(&parts, &log).len())
    };
    assert_eq!(run(59, true), [0, 0]);
    assert_eq!(run(2, true), [1, 1]);
    assert_eq!(run(58, true), [1, 1]);
    // The last hour of acts, and then nothing more.
    assert_eq!(run(600, false), [2, 1]);
    assert_eq!(run(59, true), [3, 1], "the last was long ago");
    // At the end, and not twice.
    block_on(kakunin.snapshot()).unwrap();
    block_on(kakunin.snapshot()).unwrap();
    assert_eq!(on_record(&parts, &of_acme()).len(), 4);
    drop(kakunin);
    for _ in 0..3 {
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        block_on(kakunin.load()).unwrap();
        clock.set(at.plus(2 * HOUR));
        block_on(kakunin.tend()).unwrap();
        block_on(kakunin.snapshot()).unwrap();
    }
    assert_eq!(
        [of_acme(), LogId::System].map(|log| on_record(&parts, &log).len()),
        [4, 1],
        "starts are no reason"
    );
}

#[test]
fn nobody_waits_for_it_and_a_full_disk_goes_without() {
    let (mut parts, _) = parts();
    let store = State::well();
    parts.state = store.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (_, serial) = agent(&kakunin, "one");
    store.views(Does::Silent);
    let mut hangs = Box::pin(kakunin.snapshot());
    let mut context = Context::from_waker(Waker::noop());
    assert!(hangs.as_mut().poll(&mut context).is_pending());
    let event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    let acme = acme();
    let tenant = kakunin.tenant(&acme);
    assert!(matches!(pin!(tenant.observe(event)).as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    drop(hangs);
    store.views(Does::Well);
    block_on(kakunin.snapshot()).unwrap();
    assert_eq!(on_record(&parts, &of_acme()).len(), 1);

    let (mut parts, _) = crate::world::parts();
    let sink = Sink::beneath(&mut parts);
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    agent(&kakunin, "one");
    for what in [Does::Scarce, Does::Full] {
        sink.does(what);
        block_on(kakunin.snapshot()).unwrap();
    }
    sink.does(Does::Well);
    assert!(on_record(&parts, &of_acme()).is_empty());
    block_on(kakunin.snapshot()).unwrap();
    assert_eq!(on_record(&parts, &of_acme()).len(), 1);
}

/// Rows that no seal sums up: who takes one away is noticed when the log has said what there was.
#[test]
fn rows_that_are_taken_away_are_missed_and_made_anew() {
    for kind in [Kind::Certificate, Kind::Dedup, Kind::Inbox, Kind::Standing] {
        let (parts, clock) = parts();
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        let agents = live(&kakunin, &clock);
        block_on(kakunin.tend()).unwrap();
        block_on(kakunin.snapshot()).unwrap();
        let then = clock.now();
        let (looked, rows) =
            (look(&kakunin, &agents), block_on(parts.state.scan(&of_acme(), kind, None, 9)).unwrap());
        let gone = Change { kind, key: rows[1].0.clone(), value: None };
        block_on(parts.state.put(&of_acme(), &[gone])).unwrap();
        let mut at = NOW.plus(HOUR);
        for _ in 0..40 {
            at = at.plus(10 * MINUTE);
            clock.set(at);
            block_on(kakunin.tend()).unwrap();
        }
        let Damage { named, .. } = kakunin.damage();
        let size = on_record(&parts, &of_acme())[0].0;
        assert!(
            named.iter().any(|what| what.contains(&format!("its record {size} says"))),
            "{kind:?}: {named:?}"
        );
        assert_eq!(block_on(parts.state.scan(&of_acme(), kind, None, 9)).unwrap(), rows, "{kind:?}");
        clock.set(then);
        assert_eq!(look(&kakunin, &agents), looked);
        // Once: what is stored now is on record as well.
        let count = kakunin.damage().count;
        drop(kakunin);
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        block_on(kakunin.load()).unwrap();
        (0..5).for_each(|_| _ = block_on(kakunin.tend()).unwrap());
        // The row under the seal is named besides.
        let once = if kind == Kind::Standing { 2 } else { 1 };
        assert_eq!((count, kakunin.damage()), (once, Damage::default()), "{kind:?}: {named:?}");
    }
}

/// Counts the records that are read of the tenant's log.
#[derive(Debug)]
struct Counted(Arc<dyn AuditSink>, AtomicU64);

#[async_trait]
impl AuditSink for Counted {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.0.append(appends).await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.0.read(log, from, limit).await?;
        if *log == of_acme() {
            self.1.fetch_add(u64::try_from(entries.len()).unwrap(), Ordering::Relaxed);
        }
        Ok(entries)
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
    async fn room(&self) -> Room {
        self.0.room().await
    }
}

/// A start reads what came since the last snapshot, twice: to see that it leads to the signed head, and to fold it. How
/// long the log is costs nothing.
#[test]
fn a_start_reads_what_came_since_the_last_snapshot() {
    let starts = [500, 6_000].map(|events| {
        let (mut parts, clock) = parts();
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        block_on(kakunin.create_tenant(&acme())).unwrap();
        let (_, serial) = agent(&kakunin, "one");
        for n in 0..events {
            clock.set(NOW.plus(n * 1_000));
            act(&kakunin, serial);
        }
        block_on(kakunin.snapshot()).unwrap();
        // As after `kill -9`: nothing is stored at the end.
        let counted = Arc::new(Counted(parts.sink.clone(), AtomicU64::new(0)));
        parts.sink = counted.clone();
        let start = || {
            let before = counted.1.load(Ordering::Relaxed);
            let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
            block_on(kakunin.load()).unwrap();
            (kakunin, counted.1.load(Ordering::Relaxed) - before)
        };
        let (restarted, read) = start();
        (0..40).for_each(|_| act(&restarted, serial));
        [read, start().1]
    });
    assert_eq!(starts[0], starts[1]);
    assert_eq!(starts[0], [2, 2 * 41], "the record of the state, and 40 events");
}
