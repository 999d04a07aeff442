//! Everything in memory: the contracts of the store traits as code that can be read at a glance.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial};
use crate::log::entry::{Entry, LogId};
use crate::revoke::{Acceptance, Revocation, RevocationChange};
use crate::store::audit::{Append, AuditSink, Head, Room};
use crate::store::bound::{Binding, Bound};
use crate::store::revocations::RevocationStore;
use crate::store::state::{Change, Kind, StateStore, StateView, Touched};

/// Keeps everything in memory, and loses it with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    logs: BTreeMap<LogId, Log>,
    state: BTreeMap<(LogId, Kind, Vec<u8>), Vec<u8>>,
    applied: HashMap<LogId, u64>,
    revocations: HashMap<IssuerId, Revocations>,
    keys: HashMap<IssuerId, AgentId>,
}

#[derive(Debug, Default)]
struct Log {
    head: Head,
    checkpoint: Option<String>,
    entries: Vec<Entry>,
}

/// The standing revocations of one issuer, and how far its log was applied.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    applied: u64,
    pub(crate) by_index: BTreeMap<u64, Revocation>,
    index_of: HashMap<Serial, u64>,
}

#[async_trait]
impl Bound for MemoryStore {
    async fn bound(&self, after: Option<&IssuerId>, limit: usize) -> Result<Vec<Binding>, StoreError> {
        let tables = self.tables();
        let above = tables.keys.iter().filter(|(key, _)| after.is_none_or(|after| after < *key));
        let mut found: Vec<_> = above.map(|(key, agent)| Binding { key: *key, agent: *agent }).collect();
        found.sort_unstable_by_key(|bound| bound.key);
        found.truncate(limit);
        Ok(found)
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A panic elsewhere cannot leave the tables half changed: every change below is infallible.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Whether every append stands on the head of its log, or on an earlier append of the same call.
    fn check(&self, appends: &[Append]) -> Result<(), StoreError> {
        let (mut heads, empty) = (HashMap::new(), Head::default());
        for Append { log, expected, next, entries, .. } in appends {
            let stored = self.logs.get(log).map_or(&empty, |l| &l.head);
            if heads.insert(log, next).unwrap_or(stored) != expected {
                return Err(StoreError::Conflict);
            }
            let grown = next.frontier.size().checked_sub(expected.frontier.size());
            if entries.is_empty() || grown != u64::try_from(entries.len()).ok() {
                return Err(StoreError::unavailable("an append whose entries do not lead to its head"));
            }
        }
        self.check_keys(appends)
    }

    /// Whether no key is another agent's, here or in the same call.
    fn check_keys(&self, appends: &[Append]) -> Result<(), StoreError> {
        let mut named = HashMap::new();
        for Binding { key, agent } in appends.iter().flat_map(|append| append.bindings.iter().copied()) {
            let holder = self.keys.get(&key).copied().unwrap_or(*named.entry(key).or_insert(agent));
            if holder != agent {
                return Err(StoreError::KeyTaken { key, agent: holder });
            }
        }
        Ok(())
    }

    fn apply_state(&mut self, log: &LogId, index: u64, changes: &[Change]) {
        let applied = self.applied.entry(log.clone()).or_default();
        if *applied < index {
            *applied = index;
            self.put_state(log, changes);
        }
    }

    fn put_state(&mut self, log: &LogId, changes: &[Change]) {
        for Change { kind, key, value } in changes {
            let key = (log.clone(), *kind, key.clone());
            match value {
                Some(value) => self.state.insert(key, value.clone()),
                None => self.state.remove(&key),
            };
        }
    }
}

impl Revocations {
    pub(crate) fn apply(&mut self, index: u64, change: &RevocationChange) {
        if index < self.applied {
            return;
        }
        self.applied = index + 1;
        let (_, serial) = change.serial();
        let standing = self.index_of.get(&serial).and_then(|i| self.by_index.get(i)).map(|r| r.cause);
        if !Acceptance::from(standing).yields_to(change) {
            return;
        }
        if let Some(old) = self.index_of.remove(&serial) {
            self.by_index.remove(&old);
        }
        if let RevocationChange::Revoked(revocation) = change {
            self.by_index.insert(index, *revocation);
            self.index_of.insert(serial, index);
        }
    }
}

#[async_trait]
impl AuditSink for MemoryStore {
    async fn room(&self) -> Room {
        Room::default()
    }

    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.check(&appends)?;
        for append in appends {
            let size = append.next.frontier.size();
            tables.keys.extend(append.bindings.iter().map(|bound| (bound.key, bound.agent)));
            tables.apply_state(&append.log, size, &append.changes);
            if let LogId::Revocations(issuer) = &append.log {
                let revocations = tables.revocations.entry(*issuer).or_default();
                append.revocations.iter().for_each(|(index, change)| revocations.apply(*index, change));
            }
            let log = tables.logs.entry(append.log).or_default();
            log.entries.extend(append.entries);
            log.head = append.next;
            log.checkpoint = Some(append.checkpoint);
        }
        Ok(())
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        let tables = self.tables();
        Ok(tables.logs.get(log).map(|l| (l.head.clone(), l.checkpoint.clone())).unwrap_or_default())
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let tables = self.tables();
        Ok(tables
            .logs
            .get(log)
            .map_or_else(Vec::new, |l| l.entries.iter().skip(from).take(limit).cloned().collect()))
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        Ok(self.tables().logs.keys().cloned().collect())
    }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        self.tables().apply_state(log, index, changes);
        Ok(())
    }

    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        Ok(self.tables().applied.get(log).copied().unwrap_or_default())
    }

    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.tables().put_state(log, changes);
        Ok(())
    }

    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let present = tables.state.get(&(log.clone(), change.kind, change.key.clone()));
        let fits = present.map(Vec::as_slice) == expected;
        if fits {
            tables.put_state(log, core::slice::from_ref(change));
        }
        Ok(fits)
    }

    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables().state.get(&(log.clone(), kind, key.to_vec())).cloned())
    }

    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let from = (log.clone(), kind, after.unwrap_or_default().to_vec());
        let tables = self.tables();
        let rows = tables.state.range(from..).take_while(|((l, k, _), _)| l == log && *k == kind);
        let rows = rows.filter(|((_, _, key), _)| after != Some(key.as_slice())).take(limit);
        Ok(rows.map(|((_, _, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        let tables = self.tables();
        let from = tables.state.iter().skip_while(|((l, ..), _)| l < log);
        let of = from.take_while(|((l, ..), _)| l == log);
        let rows = of.map(|((_, kind, key), value)| ((*kind, key.clone()), value.clone())).collect();
        Ok(Box::new(View { applied: tables.applied.get(log).copied().unwrap_or_default(), rows }))
    }

    async fn touched(&self) -> Result<Touched, StoreError> {
        Ok(Touched::default())
    }
}

/// A copy.
#[derive(Debug)]
struct View {
    applied: u64,
    rows: BTreeMap<(Kind, Vec<u8>), Vec<u8>>,
}

#[async_trait]
impl StateView for View {
    fn applied(&self) -> u64 {
        self.applied
    }

    async fn scan(
        &mut self,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let rows = self.rows.range((kind, after.unwrap_or_default().to_vec())..);
        let rows =
            rows.take_while(|((k, _), _)| *k == kind).filter(|((_, key), _)| after != Some(key.as_slice()));
        Ok(rows.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
}

#[async_trait]
impl RevocationStore for MemoryStore {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let revocations = tables.revocations.entry(*issuer).or_default();
        changes.iter().for_each(|(index, change)| revocations.apply(*index, change));
        Ok(())
    }

    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError> {
        Ok(self.tables().revocations.get(issuer).map_or(0, |r| r.applied))
    }

    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError> {
        let tables = self.tables();
        let found =
            tables.revocations.get(issuer).and_then(|r| r.by_index.get(r.index_of.get(serial)?).copied());
        Ok(found)
    }

    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        let tables = self.tables();
        let standing = tables.revocations.get(issuer).map(|r| r.by_index.range(cursor..).take(limit));
        Ok(standing.into_iter().flatten().map(|(index, revocation)| (*index, *revocation)).collect())
    }

    async fn replace(
        &self,
        issuer: &IssuerId,
        applied: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<(), StoreError> {
        let by_index: BTreeMap<_, _> = standing.iter().copied().collect();
        let index_of = by_index.iter().map(|(index, revocation)| (revocation.serial, *index)).collect();
        self.tables().revocations.insert(*issuer, Revocations { applied, by_index, index_of });
        Ok(())
    }
}
