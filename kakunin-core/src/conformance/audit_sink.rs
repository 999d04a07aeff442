//! [`AuditSink`].

use std::sync::Arc;

use super::at_once;
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial};
use crate::log::entry::{Entry, LogId, Payload};
use crate::log::merkle::leaf_hash;
use crate::revoke::{Cause, Revocation, RevocationChange};
use crate::store::Store;
use crate::store::audit::{Append, AuditSink, Head};
use crate::store::bound::Binding;
use crate::store::revocations::RevocationStore;
use crate::store::state::{Change, Kind, StateStore};
use crate::time::UnixTime;

/// Every property but surviving a restart, which needs [`acknowledged_is_present_after_reopening`]. The
/// store must be empty.
pub async fn all(sink: &dyn AuditSink) {
    what_is_read_is_what_was_appended(sink).await;
    a_stale_head_conflicts_and_changes_nothing(sink).await;
    of_two_appends_from_one_head_one_wins(sink).await;
    several_logs_are_all_or_nothing(sink).await;
    one_log_twice_in_a_call_grows_in_turn(sink).await;
    entries_that_do_not_lead_to_the_next_head_are_refused(sink).await;
    reading_keeps_its_bounds(sink).await;
    sixty_four_logs_at_once(sink).await;
    the_logs_with_records_are_named(sink).await;
    a_key_belongs_to_one_agent(sink).await;
    what_is_refused_binds_nothing(sink).await;
    of_two_that_bind_one_key_one_wins(sink).await;
}

fn log(name: &str) -> LogId {
    LogId::Tenant(name.parse().unwrap())
}

/// An append of these leaves to `head`; every second entry has a payload.
#[must_use]
pub fn append(log: LogId, head: &Head, leaves: &[&[u8]]) -> Append {
    let mut next = head.clone();
    next.time = next.time.plus(1);
    let entries: Vec<Entry> = leaves
        .iter()
        .enumerate()
        .map(|(i, leaf)| {
            next.frontier.push(leaf_hash(leaf));
            let payload = (i % 2 == 0).then(|| Payload { salt: [9; 32], octets: leaf.repeat(3) });
            Entry { leaf: leaf.to_vec(), payload }
        })
        .collect();
    let checkpoint = format!("checkpoint of {log} at {}\n", next.frontier.size());
    let (changes, revocations, bindings) = (Arc::default(), Vec::new(), Vec::new());
    let expected = head.clone();
    Append { log, expected, next, entries, checkpoint, changes, revocations, bindings, reserved: false }
}

async fn grow(sink: &dyn AuditSink, log: &LogId, leaves: &[&[u8]]) -> Append {
    let (head, _) = sink.head(log).await.unwrap();
    let append = append(log.clone(), &head, leaves);
    assert!(append.is_consistent());
    sink.append(vec![append.clone()]).await.unwrap();
    append
}

/// Leaves and payloads come back octet for octet, in order, and the head is the one appended.
pub async fn what_is_read_is_what_was_appended(sink: &dyn AuditSink) {
    let log = log("read-back");
    assert_eq!(sink.head(&log).await.unwrap(), (Head::default(), None));
    let first = grow(sink, &log, &[b"", b"a", &[0; 512]]).await;
    let second = grow(sink, &log, &[b"b"]).await;
    let all = sink.read(&log, 0, 100).await.unwrap();
    assert_eq!(all, [first.entries, second.entries.clone()].concat());
    assert_eq!(sink.head(&log).await.unwrap(), (second.next, Some(second.checkpoint)));
}

/// An append made for another head is refused, and nothing of it is there.
pub async fn a_stale_head_conflicts_and_changes_nothing(sink: &dyn AuditSink) {
    let log = log("stale");
    let old = Head::default();
    grow(sink, &log, &[b"a"]).await;
    let (head, _) = sink.head(&log).await.unwrap();
    let ahead = append(log.clone(), &head, &[b"x"]).next;
    let mut later = head.clone();
    later.time = UnixTime::from_millis(u64::from(u32::MAX));
    for wrong in [old, ahead, later] {
        let refused = sink.append(vec![append(log.clone(), &wrong, &[b"b"])]).await;
        assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    }
    assert_eq!(sink.head(&log).await.unwrap().0, head);
    assert_eq!(sink.read(&log, 0, 9).await.unwrap().len(), 1);
}

/// A log never forks.
pub async fn of_two_appends_from_one_head_one_wins(sink: &dyn AuditSink) {
    let log = log("race");
    for _ in 0..20 {
        let (head, _) = sink.head(&log).await.unwrap();
        let results =
            at_once(2, |i| sink.append(vec![append(log.clone(), &head, &[&[u8::try_from(i).unwrap()]])]));
        let wins = results.iter().filter(|r| r.is_ok()).count();
        let conflicts = results.iter().filter(|r| matches!(r, Err(StoreError::Conflict))).count();
        assert_eq!((wins, conflicts), (1, 1), "{results:?}");
    }
    assert_eq!(sink.read(&log, 0, 100).await.unwrap().len(), 20);
}

/// One call over several logs is one transaction: if one log refuses, no log has anything of it.
pub async fn several_logs_are_all_or_nothing(sink: &dyn AuditSink) {
    let (a, b) = (log("both-a"), LogId::Revocations(IssuerId::from_bytes([3; 20])));
    let (head_a, head_b) = (Head::default(), Head::default());
    let both = |leaf: &'static [u8], head_a: &Head, head_b: &Head| {
        vec![append(a.clone(), head_a, &[leaf]), append(b.clone(), head_b, &[leaf, leaf])]
    };
    sink.append(both(b"1", &head_a, &head_b)).await.unwrap();
    let now_a = sink.head(&a).await.unwrap().0;
    let refused = sink.append(both(b"2", &now_a, &head_b)).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert_eq!(sink.head(&a).await.unwrap().0, now_a);
    assert_eq!((sink.read(&a, 0, 9).await.unwrap().len(), sink.read(&b, 0, 9).await.unwrap().len()), (1, 2));
}

/// A call may name a log twice, if the second append stands on the first.
pub async fn one_log_twice_in_a_call_grows_in_turn(sink: &dyn AuditSink) {
    let log = log("twice");
    let first = append(log.clone(), &Head::default(), &[b"1"]);
    let fork = append(log.clone(), &Head::default(), &[b"2"]);
    let refused = sink.append(vec![first.clone(), fork]).await;
    assert!(matches!(refused, Err(StoreError::Conflict)), "{refused:?}");
    assert_eq!(sink.head(&log).await.unwrap(), (Head::default(), None));
    let second = append(log.clone(), &first.next, &[b"2"]);
    sink.append(vec![first, second.clone()]).await.unwrap();
    assert_eq!(sink.head(&log).await.unwrap().0, second.next);
    assert_eq!(sink.read(&log, 0, 9).await.unwrap().len(), 2);
}

/// A defect of the caller leaves no gap in the log.
pub async fn entries_that_do_not_lead_to_the_next_head_are_refused(sink: &dyn AuditSink) {
    let log = log("gap");
    let append = append(log.clone(), &Head::default(), &[b"1", b"2"]);
    let twice = [append.entries.clone(), append.entries.clone()].concat();
    for count in [0, 1, 3] {
        let wrong = Append { entries: twice[..count].to_vec(), ..append.clone() };
        assert!(sink.append(vec![wrong]).await.is_err());
        assert_eq!(sink.head(&log).await.unwrap(), (Head::default(), None));
        assert!(sink.read(&log, 0, 9).await.unwrap().is_empty());
    }
}

/// Reading begins where it is told, ends at its limit, and beyond the end there is nothing.
pub async fn reading_keeps_its_bounds(sink: &dyn AuditSink) {
    let log = log("bounds");
    let append = grow(sink, &log, &[b"0", b"1", b"2", b"3"]).await;
    assert_eq!(sink.read(&log, 1, 2).await.unwrap(), append.entries[1..3]);
    assert_eq!(sink.read(&log, 3, 9).await.unwrap(), append.entries[3..]);
    for (from, limit) in [(4, 9), (u64::MAX, 9), (0, 0)] {
        assert!(sink.read(&log, from, limit).await.unwrap().is_empty(), "{from} {limit}");
    }
    assert!(sink.read(&self::log("nobodys"), 0, 9).await.unwrap().is_empty());
}

/// Many logs grow at once, each with its own records and no other's.
pub async fn sixty_four_logs_at_once(sink: &dyn AuditSink) {
    at_once(64, |i| async move {
        let log = log(&format!("crowd-{i}"));
        for n in 0..5 {
            grow(sink, &log, &[format!("{i}/{n}").as_bytes()]).await;
        }
        let all = sink.read(&log, 0, 100).await.unwrap();
        let expected: Vec<_> = (0..5).map(|n| format!("{i}/{n}").into_bytes()).collect();
        assert_eq!(all.into_iter().map(|e| e.leaf).collect::<Vec<_>>(), expected);
    });
}

/// Every log that has records is named, and no other.
pub async fn the_logs_with_records_are_named(sink: &dyn AuditSink) {
    grow(sink, &LogId::System, &[b"s"]).await;
    let logs = sink.logs().await.unwrap();
    assert!(
        logs.contains(&LogId::System) && logs.contains(&LogId::Revocations(IssuerId::from_bytes([3; 20])))
    );
    assert!(logs.contains(&log("race")) && !logs.contains(&log("nobodys")));
}

const fn binding(key: u8, of: u8) -> Binding {
    Binding { key: IssuerId::from_bytes([key; 20]), agent: agent(of) }
}

/// An append to the end of a log that binds these keys.
async fn binds(sink: &dyn AuditSink, log: &LogId, bindings: &[Binding]) -> Append {
    let (head, _) = sink.head(log).await.unwrap();
    Append { bindings: bindings.to_vec(), ..append(log.clone(), &head, &[b"bound"]) }
}

fn is_taken(refused: &Result<(), StoreError>, bound: Binding) {
    let taken = matches!(refused, Err(StoreError::KeyTaken { key, agent }) if (*key, *agent) == (bound.key, bound.agent));
    assert!(taken, "{refused:?}");
}

/// A key that was bound is its agent's in every log, and what would give it to another is refused whole.
pub async fn a_key_belongs_to_one_agent(sink: &dyn AuditSink) {
    let (here, there) = (log("keys-here"), log("keys-there"));
    let bound = binding(1, 1);
    sink.append(vec![binds(sink, &here, &[bound, bound]).await]).await.unwrap();
    sink.append(vec![binds(sink, &here, &[bound]).await]).await.unwrap();
    for log in [&here, &there] {
        let before = sink.head(log).await.unwrap();
        let refused = sink.append(vec![binds(sink, log, &[binding(1, 2)]).await]).await;
        is_taken(&refused, bound);
        assert_eq!(sink.head(log).await.unwrap(), before);
    }
    let heads = (sink.head(&here).await.unwrap(), sink.head(&there).await.unwrap());
    let both = vec![binds(sink, &here, &[]).await, binds(sink, &there, &[binding(1, 2)]).await];
    is_taken(&sink.append(both).await, bound);
    assert_eq!((sink.head(&here).await.unwrap(), sink.head(&there).await.unwrap()), heads);
}

/// Of what was refused for whatever reason no key is anybody's.
pub async fn what_is_refused_binds_nothing(sink: &dyn AuditSink) {
    let log = log("keys-refused");
    sink.append(vec![binds(sink, &log, &[binding(2, 1)]).await]).await.unwrap();
    let taken = binds(sink, &log, &[binding(3, 2), binding(2, 2)]).await;
    is_taken(&sink.append(vec![taken]).await, binding(2, 1));
    let stale =
        Append { bindings: vec![binding(4, 2)], ..append(log.clone(), &Head::default(), &[b"stale"]) };
    assert!(matches!(sink.append(vec![stale]).await, Err(StoreError::Conflict)));
    let torn = Append { bindings: vec![binding(5, 2)], entries: Vec::new(), ..binds(sink, &log, &[]).await };
    assert!(sink.append(vec![torn]).await.is_err());
    let two = [binding(6, 2), binding(6, 3)];
    assert!(matches!(
        sink.append(vec![binds(sink, &log, &two).await]).await,
        Err(StoreError::KeyTaken { .. })
    ));
    let free = [3, 4, 5, 6].map(|key| binding(key, 9));
    sink.append(vec![binds(sink, &log, &free).await]).await.unwrap();
}

/// However two logs race for a key.
pub async fn of_two_that_bind_one_key_one_wins(sink: &dyn AuditSink) {
    for key in 10..30 {
        let results = at_once(2, |i| async move {
            let (log, agent) = (log(&format!("keys-race-{i}")), u8::try_from(i).unwrap());
            sink.append(vec![binds(sink, &log, &[binding(key, agent)]).await]).await
        });
        let taken = |result: &&Result<(), _>| matches!(result, Err(StoreError::KeyTaken { .. }));
        let (won, lost) =
            (results.iter().filter(|r| r.is_ok()).count(), results.iter().filter(taken).count());
        assert_eq!((won, lost), (1, 1), "{results:?}");
    }
}

/// A store that keeps the projections too applies what an append brings along in the same transaction, and
/// what it does not bring is still to be applied.
pub async fn what_follows_from_an_append_is_applied_with_it(store: &dyn Store) {
    let issuer = IssuerId::from_bytes([8; 20]);
    let (tenant, list) = (log("follows"), LogId::Revocations(issuer));
    let set =
        |value: &[u8]| vec![Change { kind: Kind::Agent, key: b"k".to_vec(), value: Some(value.to_vec()) }];
    let both = |head: &(Head, Head), value: &[u8], changes: &[(u64, RevocationChange)]| {
        let mut tenant = append(tenant.clone(), &head.0, &[value]);
        tenant.changes = set(value).into();
        let mut list = append(list.clone(), &head.1, &[value]);
        list.revocations = changes.to_vec();
        vec![tenant, list]
    };
    let heads = (Head::default(), Head::default());
    let appends = both(&heads, b"1", &[(0, revoked(issuer, 1))]);
    let next = (appends[0].next.clone(), appends[1].next.clone());
    store.append(appends).await.unwrap();
    let stale = (next.0.clone(), Head::default());
    store.append(both(&stale, b"2", &[(0, revoked(issuer, 2))])).await.unwrap_err();
    assert_eq!(store.get(&tenant, Kind::Agent, b"k").await.unwrap().unwrap(), b"1");
    assert_eq!(StateStore::applied(store, &tenant).await.unwrap(), 1);
    StateStore::apply(store, &tenant, 1, &set(b"3")).await.unwrap();
    assert_eq!(store.get(&tenant, Kind::Agent, b"k").await.unwrap().unwrap(), b"1");
    assert_eq!(RevocationStore::applied(store, &issuer).await.unwrap(), 1);
    let standing = store.after(&issuer, 0, 9).await.unwrap();
    assert_eq!(standing.iter().map(|(i, r)| (*i, r.agent)).collect::<Vec<_>>(), [(0, agent(1))]);

    store.append(both(&next, b"4", &[])).await.unwrap();
    assert_eq!(RevocationStore::applied(store, &issuer).await.unwrap(), 1);
    RevocationStore::apply(store, &issuer, &[(1, revoked(issuer, 4))]).await.unwrap();
    assert_eq!(store.after(&issuer, 1, 9).await.unwrap().len(), 1);
}

const fn agent(n: u8) -> AgentId {
    AgentId::from_bytes([n; 16])
}

fn revoked(issuer: IssuerId, n: u8) -> RevocationChange {
    RevocationChange::Revoked(Revocation {
        issuer,
        serial: Serial::from_bytes([n; 16]).unwrap(),
        agent: agent(n),
        at: UnixTime::default(),
        cause: Cause::Retired,
        expires: UnixTime::default(),
        shard: 0,
    })
}

/// What was acknowledged is there after the store was closed and opened again.
pub async fn acknowledged_is_present_after_reopening(open: impl Fn() -> Arc<dyn AuditSink>) {
    let log = log("reopened");
    let mut expected = Vec::new();
    for round in 0..3_u8 {
        let sink = open();
        assert_eq!(sink.read(&log, 0, 100).await.unwrap(), expected, "round {round}");
        for n in 0..10_u8 {
            expected.extend(grow(&*sink, &log, &[&[round, n]]).await.entries);
        }
    }
    let sink = open();
    let bound = binding(7, 7);
    sink.append(vec![binds(&*sink, &self::log("keys-reopened"), &[bound]).await]).await.unwrap();
    drop(sink);
    let sink = open();
    is_taken(&sink.append(vec![binds(&*sink, &log, &[binding(7, 8)]).await]).await, bound);
    assert_eq!(sink.read(&log, 0, 100).await.unwrap(), expected);
    assert_eq!(sink.head(&log).await.unwrap().0.frontier.size(), 30);
}
