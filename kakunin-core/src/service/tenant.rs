//! One tenant: its sequencer, which decides everything that depends on order, and how it is loaded.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::Inner;
use super::certificates::{self, CertificateState, Certificates};
use super::draft::Draft;
use super::error::Error;
use super::ledger::Ledger;
use super::names;
use super::projection::{self, AgentEntry, DedupRow, Projection};
use super::roster::Roster;
use super::sequence::Job;
use super::tending::Attempts;
use crate::error::StoreError;
use crate::event::TokenKey;
use crate::id::{AgentId, JoinTokenId, Serial, TenantId};
use crate::log::record::{Body, Record};
use crate::log::sink::LogId;
use crate::revoke::RevocationChange;
use crate::risk::History;
use crate::state::{Change, Kind};
use crate::time::{MINUTE, UnixTime};

/// Records between two snapshots of the risk histories.
const SNAPSHOT_RECORDS: u64 = 250_000;
/// Milliseconds between two snapshots of the risk histories.
const SNAPSHOT_INTERVAL: u64 = MINUTE;
/// Records read at once when a log is replayed.
const REPLAY_STEP: usize = 4_096;
/// Rows read at once when state is loaded.
const SCAN_STEP: usize = 4_096;
/// Key of the snapshot's index among the histories; shorter than any agent's.
const SNAPSHOT_KEY: &[u8] = b"index";

/// What follows an agent's identifier in the key of what it used; its history has nothing there.
const USAGE: &[u8] = b"u";

/// One tenant of the deployment.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) tokens: TokenKey,
    /// Decisions that wait for whoever holds the sequencer next.
    pub(super) queue: Mutex<Vec<Job>>,
    pub(super) sequencer: async_lock::Mutex<Sequencer>,
    pub(super) roster: Arc<Roster>,
    pub(super) attempts: async_lock::Mutex<Attempts>,
    /// Held while a receipt is signed.
    pub(super) receipts: async_lock::Mutex<()>,
    /// Whether there may be something to tell the key provider: to look costs more than most decisions.
    pub(super) has_tasks: AtomicBool,
}

/// What only one task at a time may touch.
#[derive(Debug)]
pub(super) struct Sequencer {
    pub(super) ledger: Ledger,
    pub(super) projection: Projection,
    /// The tenant's.
    roster: Arc<Roster>,
    snapshot_at: u64,
    snapshot_time: UnixTime,
}

/// What a draft leaves behind.
pub(super) struct Decided {
    pub(super) agents: HashMap<AgentId, AgentEntry>,
    pub(super) certificates: HashMap<Serial, CertificateState>,
    pub(super) records: Vec<Record>,
    pub(super) changes: Vec<Change>,
    pub(super) revocations: Vec<RevocationChange>,
    pub(super) voided: Vec<JoinTokenId>,
}

impl Tenant {
    pub(super) async fn load(inner: &Inner, id: TenantId) -> Result<Self, Error> {
        let log = LogId::Tenant(id.clone());
        let tokens = inner.tokens_of(&id);
        let ledger = inner.ledger(log).await?;
        let mut sequencer = Sequencer {
            ledger,
            projection: Projection::default(),
            roster: Arc::default(),
            snapshot_at: 0,
            snapshot_time: inner.now(),
        };
        sequencer.reload(inner).await?;
        Ok(Self {
            id,
            tokens,
            queue: Mutex::default(),
            roster: sequencer.roster.clone(),
            sequencer: async_lock::Mutex::new(sequencer),
            attempts: async_lock::Mutex::default(),
            receipts: async_lock::Mutex::default(),
            has_tasks: AtomicBool::new(true),
        })
    }
}

impl Sequencer {
    /// Makes sure that memory is what the store has, after a call that failed or was cancelled.
    pub(super) async fn settle(&mut self, inner: &Inner) -> Result<(), Error> {
        if self.ledger.is_stale() { self.reload(inner).await } else { Ok(()) }
    }

    pub(super) fn draft<'d>(&'d self, inner: &'d Inner, tenant: &'d Tenant) -> Draft<'d> {
        let time = self.ledger.time(inner.now());
        Draft::new(inner, &tenant.tokens, &self.projection, self.ledger.size(), time)
    }

    /// Appends what was decided, and makes it the state.
    pub(super) async fn commit(&mut self, inner: &Inner, decided: Decided) -> Result<(), Error> {
        if decided.records.is_empty() {
            return Ok(());
        }
        let level =
            inner.append(&mut self.ledger, &decided.records, decided.changes, &decided.revocations).await?;
        let moved = decided.agents.iter().map(|(id, entry)| (*id, entry.row.agent.state));
        let known = &self.projection.agents;
        let moved = moved.filter(|(id, state)| known.get(id).is_none_or(|old| old.row.agent.state != *state));
        self.roster.update(&moved.collect::<Vec<_>>());
        decided.agents.into_values().for_each(|entry| self.projection.put(entry));
        self.projection.certificates.extend(decided.certificates);
        if level {
            self.ledger.settled();
        }
        let due = self.ledger.size() - self.snapshot_at >= SNAPSHOT_RECORDS
            || inner.now().since(self.snapshot_time) >= SNAPSHOT_INTERVAL;
        if due && self.snapshot(inner).await.is_err() {
            // The records are durable; a snapshot only shortens the next start. Not at once again.
            self.snapshot_time = inner.now();
        }
        Ok(())
    }

    /// Stores the risk histories with the index they were taken at.
    pub(super) async fn snapshot(&mut self, inner: &Inner) -> Result<(), Error> {
        let put =
            |key: &[u8], value: Vec<u8>| Change { kind: Kind::Risk, key: key.to_vec(), value: Some(value) };
        let mut changes = vec![put(SNAPSHOT_KEY, self.ledger.size().to_be_bytes().to_vec())];
        for (id, entry) in &self.projection.agents {
            let scores = [&[entry.score.millionths()], entry.evidence.as_slice()].concat();
            let mut value: Vec<u8> = scores.into_iter().flat_map(u32::to_be_bytes).collect();
            value.extend(entry.history.encode());
            changes.push(put(id.as_bytes(), value));
            changes.push(projection::set(Kind::Risk, usage_key(id), &*entry.usage)?);
        }
        inner.parts.state.put(self.ledger.log(), &changes).await?;
        (self.snapshot_at, self.snapshot_time) = (self.ledger.size(), inner.now());
        Ok(())
    }

    /// Reads head, state and histories, and replays what they lack. Fires no effect.
    async fn reload(&mut self, inner: &Inner) -> Result<(), Error> {
        self.ledger.reload(&*inner.parts.sink).await?;
        self.ledger.unsettled();
        let log = self.ledger.log().clone();
        let state = &*inner.parts.state;
        let applied = state.applied(&log).await?;
        if applied > self.ledger.size() {
            return Err(StoreError::Corrupt(format!("the state of {log} is ahead of its log")).into());
        }
        self.projection = load_rows(inner, &log).await?;
        let folded = self.load_histories(inner, &log).await?.min(self.ledger.size());
        self.replay(inner, &log, applied, folded).await?;
        self.projection.recount();
        self.roster.replace(self.projection.agents.iter().map(|(id, entry)| (*id, entry.row.agent.state)));
        if let LogId::Tenant(tenant) = &log {
            let all = || self.projection.certificates.states();
            inner.serials.remember_all(tenant, all().map(|c| c.facts.serial));
            inner.bound.remember(all().filter_map(|c| Some((c.key_id?, c.facts.agent))));
        }
        self.snapshot_at = folded;
        self.ledger.settled();
        Ok(())
    }

    async fn load_histories(&mut self, inner: &Inner, log: &LogId) -> Result<u64, Error> {
        let corrupt = || StoreError::Corrupt("a risk history does not decode".into());
        let mut folded = 0;
        for (key, value) in scan(inner, log, Kind::Risk).await? {
            if key == SNAPSHOT_KEY {
                folded = u64::from_be_bytes(value.as_slice().try_into().map_err(|_| corrupt())?);
                continue;
            }
            let (id, usage) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
            let Some(entry) = self.projection.agents.get_mut(&AgentId::from_bytes(*id)) else { continue };
            if usage == USAGE {
                entry.usage = serde_json::from_slice(&value).map(Arc::new).map_err(|_| corrupt())?;
                continue;
            }
            let (scores, history) = value.split_at_checked(20).ok_or_else(corrupt)?;
            let mut scores = scores.chunks_exact(4).map(|c| c.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
            entry.score = crate::risk::Score::from_millionths(scores.next().unwrap_or_default());
            entry.evidence.iter_mut().zip(scores).for_each(|(to, from)| *to = from);
            entry.history = History::decode(history).ok_or_else(corrupt)?;
        }
        Ok(folded)
    }

    /// Applies records from `applied` on to the state, and folds those from `folded` on.
    async fn replay(&mut self, inner: &Inner, log: &LogId, applied: u64, folded: u64) -> Result<(), Error> {
        let mut index = applied.min(folded);
        while index < self.ledger.size() {
            let entries = inner.parts.sink.read(log, index, REPLAY_STEP).await?;
            if entries.is_empty() {
                return Err(StoreError::Corrupt(format!("log {log} ends before its head")).into());
            }
            let (mut changes, mut rows) = (Vec::new(), HashSet::new());
            for entry in &entries {
                let record = Record::open(entry)?;
                let stored = (&mut changes, &mut rows);
                self.replay_one(inner, &record, index, (index >= applied, index >= folded), stored)?;
                index += 1;
            }
            if index > applied {
                for entry in rows.iter().filter_map(|id| self.projection.agents.get(id)) {
                    changes.push(entry.change()?);
                }
                inner.parts.state.apply(log, index, &changes).await?;
            }
        }
        Ok(())
    }

    fn replay_one(
        &mut self,
        inner: &Inner,
        record: &Record,
        index: u64,
        (apply, fold): (bool, bool),
        (changes, rows): (&mut Vec<Change>, &mut HashSet<AgentId>),
    ) -> Result<(), Error> {
        let Some(agent) = record.agent else { return Ok(()) };
        let projection = &mut self.projection;
        let mut entry = projection.agents.remove(&agent);
        let is_control = matches!(record.body, Body::Control(_));
        let before = entry.as_ref().filter(|_| is_control).map(names::known_as);
        if apply && projection::apply(&mut entry, &mut projection.certificates, index, record, changes)? {
            rows.insert(agent);
        }
        if let Some(mut entry) = entry {
            if fold {
                projection::fold(&mut entry, record, &*inner.parts.model, &inner.policy.prior);
            }
            if is_control {
                projection.names.moved(before.as_ref().map(|(name, class)| (name, *class)), &entry);
            }
            projection.agents.insert(agent, entry);
        }
        Ok(())
    }
}

impl Draft<'_> {
    pub(super) fn decided(mut self) -> Result<Decided, StoreError> {
        for entry in self.rows.iter().filter_map(|id| self.agents.get(id)) {
            self.changes.push(entry.change()?);
        }
        Ok(Decided {
            agents: self.agents,
            certificates: self.certificates.changed,
            records: self.records,
            changes: self.changes,
            revocations: self.revocations,
            voided: self.voided,
        })
    }
}

async fn load_rows(inner: &Inner, log: &LogId) -> Result<Projection, Error> {
    let mut projection = Projection::default();
    for (key, value) in scan(inner, log, Kind::Standing).await? {
        if let Some(certificate) = certificates::load(&key, &value)? {
            projection.certificates.put(certificate);
        }
    }
    let mut moved = Vec::new();
    for (_, row) in scan(inner, log, Kind::Agent).await? {
        let mut entry = AgentEntry::from_row(&row)?;
        let rows = moved.len();
        for mut certificate in entry.row.take_certificates() {
            let halt = entry.row.halt.filter(|halt| halt.serial == Some(certificate.facts.serial));
            certificate.halt = halt;
            moved.extend([certificate.listed(), certificate.change()?]);
            projection.certificates.put(certificate);
        }
        if moved.len() > rows {
            moved.push(entry.change()?);
            if let Some(halt) = entry.row.halt {
                moved.push(projection::receipt_task(entry.row.agent.id, halt)?);
            }
        }
        projection.put(entry);
        // An agent's rows change together.
        if moved.len() >= SCAN_STEP {
            inner.parts.state.put(log, &std::mem::take(&mut moved)).await?;
        }
    }
    if !moved.is_empty() {
        inner.parts.state.put(log, &moved).await?;
    }
    let mut ids = Vec::new();
    for (key, value) in scan(inner, log, Kind::Dedup).await? {
        let (agent, row) = projection::load_dedup(&key, &value)
            .ok_or_else(|| StoreError::Corrupt("a row of deduplication does not decode".into()))?;
        match (row, projection.agents.get_mut(&agent)) {
            (DedupRow::Stream(stream, window), Some(entry)) => entry.seen.load_window(stream, window),
            (DedupRow::Id(at, id), _) => ids.push((at, agent, id)),
            (DedupRow::Stream(..), None) => {}
        }
    }
    ids.sort_unstable();
    for (at, agent, id) in ids {
        if let Some(entry) = projection.agents.get_mut(&agent) {
            entry.seen.add_id(at, id);
        }
    }
    Ok(projection)
}

fn usage_key(agent: &AgentId) -> Vec<u8> {
    [agent.as_bytes().as_slice(), USAGE].concat()
}

/// Every row of a kind.
pub(super) async fn scan(inner: &Inner, log: &LogId, kind: Kind) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    loop {
        let after = rows.last().map(|(key, _)| key.clone());
        let more = inner.parts.state.scan(log, kind, after.as_deref(), SCAN_STEP).await?;
        let end = more.len() < SCAN_STEP;
        rows.extend(more);
        if end {
            return Ok(rows);
        }
    }
}
