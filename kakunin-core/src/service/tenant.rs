//! One tenant: its sequencer, which decides everything that depends on order, and how it is loaded.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::certificates::{self, CertificateState, Certificates};
use super::dedup;
use super::draft::Draft;
use super::ending;
use super::error::Error;
use super::folding;
use super::ledger::Ledger;
use super::names;
use super::projection::{self, AgentEntry, Projection};
use super::roster::Roster;
use super::seal::{RowKey, Rows, SealKey};
use super::sequence::Job;
use super::tending::Attempts;
use super::{Inner, seal, system};
use crate::error::StoreError;
use crate::event::TokenKey;
use crate::id::{AgentId, JoinTokenId, Serial, TenantId};
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::record::{Body, Control, Record};
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
/// Key of what older versions kept among the histories; shorter than any agent's.
const OLD_INDEX: &[u8] = b"index";

/// What follows an agent's identifier in the key of what it used; its history has nothing there.
const USAGE: &[u8] = b"u";
/// And in the key of what its events amount to.
const TALLY: &[u8] = b"t";

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
    /// Whether it may be written where there is no room for anything else.
    pub(super) reserved: bool,
}

/// Most records of an append that may use what is set aside because of one that takes trust away.
const FEW: usize = 16;

impl Decided {
    /// Whether it takes trust away, and little else is recorded with that.
    pub(super) const fn is_small_and_takes(&self) -> bool {
        !self.revocations.is_empty() && self.records.len() <= FEW
    }
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
        let level = inner
            .append(
                &mut self.ledger,
                &decided.records,
                decided.changes,
                &decided.revocations,
                decided.reserved,
            )
            .await?;
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

    /// Appends a record that is about no agent.
    pub(super) async fn note(&mut self, inner: &Inner, control: Control) -> Result<(), Error> {
        let record = Record::control(self.ledger.time(inner.now()), None, None, control);
        let changes = ending::changes(&record, self.ledger.size())?;
        if inner.append(&mut self.ledger, &[record], changes, &[], false).await? {
            self.ledger.settled();
        }
        Ok(())
    }

    /// Stores the risk histories with the index they were taken at.
    pub(super) async fn snapshot(&mut self, inner: &Inner) -> Result<(), Error> {
        let put =
            |key: &[u8], value: Vec<u8>| Change { kind: Kind::Risk, key: key.to_vec(), value: Some(value) };
        let mut changes = Vec::new();
        for (id, entry) in &self.projection.agents {
            let scores = [&[entry.score.millionths()], entry.evidence.as_slice()].concat();
            let mut value: Vec<u8> = scores.into_iter().flat_map(u32::to_be_bytes).collect();
            value.extend(entry.history.encode());
            changes.push(put(id.as_bytes(), value));
            changes.push(projection::set(Kind::Risk, key_of(id, USAGE), &*entry.usage)?);
            changes.push(projection::set(Kind::Risk, key_of(id, TALLY), &*entry.tally)?);
        }
        let (mut histories, head) = (self.ledger.rows.cleared(), self.ledger.frontier());
        for change in &changes {
            histories.add(change.kind, change.key.clone(), change.value.as_deref().unwrap_or_default());
        }
        changes.push(Rows::seal_of_histories(head, &histories));
        let sealing = self.ledger.rows.seal_anew(changes, head);
        inner.parts.state.put(self.ledger.log(), &sealing.changes).await?;
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
        let (projection, stored) = load_rows(inner, &self.ledger).await?;
        let from = system::sealed_from(&inner.parts, &self.ledger, &stored).await?;
        let (from, folded, wrong) = if let Some(from) = from {
            (self.projection, self.ledger.rows) = (projection, stored);
            (from, self.load_histories(inner, &log).await?, None)
        } else {
            (self.projection, self.ledger.rows) = (Projection::default(), stored.cleared());
            (Frontier::default(), None, Some(stored))
        };
        let folded = folded.filter(|folded| folded.size() <= self.ledger.size()).unwrap_or_default();
        let first = if folded.size() < from.size() { &folded } else { &from };
        system::verify(&inner.parts, &self.ledger, first.clone()).await?;
        let reach = Reach { stored: applied, sealed: from.size(), folded: folded.size() };
        self.replay(inner, first.clone(), &reach).await?;
        if let Some(stored) = wrong {
            self.rebuilt(inner, &stored).await?;
        }
        let folded = folded.size();
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

    /// These rows as they must be; none for what is not there.
    pub(super) fn rows_of(&self, rows: &[RowKey]) -> Result<Vec<Change>, StoreError> {
        let (agents, certificates) = (&self.projection.agents, &self.projection.certificates);
        let listed: HashMap<_, _> =
            match rows.iter().any(|(kind, key)| *kind == Kind::Standing && key.len() != 16) {
                true => certificates.states().map(|c| (c.listed().key, c)).collect(),
                false => HashMap::new(),
            };
        let row = |(kind, key): &RowKey| {
            let id = <[u8; 16]>::try_from(key.as_slice()).ok();
            let change = match kind {
                Kind::Agent => id.and_then(|id| agents.get(&AgentId::from_bytes(id))).map(AgentEntry::change),
                _ => {
                    id.and_then(Serial::from_bytes).and_then(|serial| certificates.get(&serial)).map_or_else(
                        || listed.get(key).map(|c| Ok(c.listed())),
                        |certificate| Some(certificate.change()),
                    )
                }
            };
            change.unwrap_or_else(|| Ok(Change { kind: *kind, key: key.clone(), value: None }))
        };
        rows.iter().map(row).collect()
    }

    /// Takes away what the log does not say, and says what was wrong. So a store of an older version is brought
    /// into this form as well.
    async fn rebuilt(&mut self, inner: &Inner, stored: &Rows) -> Result<(), Error> {
        let wrong = self.ledger.rows.differing(stored);
        let extra = wrong.iter().filter(|(kind, key)| !self.ledger.rows.knows(*kind, key));
        let gone = extra.map(|(kind, key)| Change { kind: *kind, key: key.clone(), value: None });
        let mut changes: Vec<_> = gone.collect();
        // Older versions kept no receipt; what was to be done about this one is perhaps lost.
        for row in self.projection.agents.values().map(|entry| &entry.row) {
            if let (Some(halt), None) = (row.halt, &row.receipt) {
                changes.push(projection::receipt_task(row.agent.id, halt)?);
            }
        }
        let sealing = self.ledger.rows.seal_anew(changes, self.ledger.frontier());
        inner.parts.state.put(self.ledger.log(), &sealing.changes).await?;
        if inner.is_sealed() && self.ledger.size() > 0 {
            inner.damages.rebuilt(self.ledger.log(), &wrong);
        }
        Ok(())
    }

    /// The histories of the last snapshot, and at which head it was taken; none if they are not as they were
    /// taken: then they are folded from the beginning.
    async fn load_histories(&mut self, inner: &Inner, log: &LogId) -> Result<Option<Frontier>, Error> {
        let corrupt = || StoreError::Corrupt("a risk history does not decode".into());
        let mut rows = system::scan(&inner.parts, log, Kind::Risk).await?;
        rows.retain(|(key, _)| key != OLD_INDEX);
        let mut histories = self.ledger.rows.cleared();
        rows.iter().for_each(|(key, value)| histories.add(Kind::Risk, key.clone(), value));
        let seal = inner.parts.state.get(log, Kind::Seal, seal::HISTORIES).await?;
        let Some(folded) = seal.as_ref().and_then(|seal| histories.taken_at(seal)) else {
            if inner.is_sealed() && (seal.is_some() || !rows.is_empty()) {
                inner.damages.note(format!(
                    "the risk histories of log {log} were changed by somebody else; they are folded anew from it"
                ));
            }
            return Ok(None);
        };
        for (key, value) in rows {
            let (id, part) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
            let Some(entry) = self.projection.agents.get_mut(&AgentId::from_bytes(*id)) else { continue };
            if part == TALLY {
                entry.tally = serde_json::from_slice(&value).map(Arc::new).map_err(|_| corrupt())?;
                continue;
            }
            if part == USAGE {
                entry.usage = serde_json::from_slice(&value).map(Arc::new).map_err(|_| corrupt())?;
                continue;
            }
            let (scores, history) = value.split_at_checked(20).ok_or_else(corrupt)?;
            let mut scores = scores.chunks_exact(4).map(|c| c.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
            entry.score = crate::risk::Score::from_millionths(scores.next().unwrap_or_default());
            entry.evidence.iter_mut().zip(scores).for_each(|(to, from)| *to = from);
            entry.history = History::decode(history).ok_or_else(corrupt)?;
        }
        Ok(Some(folded))
    }

    /// Applies and folds the records above `frontier` that the state and the histories lack.
    async fn replay(&mut self, inner: &Inner, mut frontier: Frontier, reach: &Reach) -> Result<(), Error> {
        let log = self.ledger.log().clone();
        while frontier.size() < self.ledger.size() {
            let entries = inner.parts.sink.read(&log, frontier.size(), REPLAY_STEP).await?;
            if entries.is_empty() {
                return Err(seal::altered(&log).into());
            }
            let (mut changes, mut rows) = (Vec::new(), HashSet::new());
            for entry in &entries {
                let (record, index) = (Record::open(entry)?, frontier.size());
                let mut follows = Vec::new();
                let due = (index >= reach.sealed, index >= reach.folded);
                self.replay_one(inner, &record, index, due, (&mut follows, &mut rows))?;
                // What the key provider was to be told before is there still, or done.
                changes.extend(follows.into_iter().filter(|c| c.kind != Kind::Plan || index >= reach.stored));
                frontier.push(leaf_hash(&entry.leaf));
            }
            if frontier.size() > reach.sealed {
                for entry in rows.iter().filter_map(|id| self.projection.agents.get(id)) {
                    changes.push(entry.change()?);
                }
                let sealing = self.ledger.rows.seal_anew(changes, &frontier);
                let index = (frontier.size(), reach.stored);
                system::store(&inner.parts, &log, index, &sealing.changes).await?;
                self.ledger.rows.take(sealing);
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
        let Some(agent) = record.agent else {
            if apply {
                changes.extend(ending::changes(record, index)?);
            }
            return Ok(());
        };
        let projection = &mut self.projection;
        let mut entry = projection.agents.remove(&agent);
        let is_control = matches!(record.body, Body::Control(_));
        let before = entry.as_ref().filter(|_| is_control).map(names::known_as);
        if apply && projection::apply(&mut entry, &mut projection.certificates, index, record, changes)? {
            rows.insert(agent);
        }
        if let Some(mut entry) = entry {
            if fold {
                folding::fold(&mut entry, index, record, &*inner.parts.model, &inner.policy);
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
            changes: last_of_each(self.changes),
            revocations: self.revocations,
            voided: self.voided,
            reserved: false,
        })
    }
}

/// Of rows that change with each event, as that of a stream does, the last is written.
fn last_of_each(changes: Vec<Change>) -> Vec<Change> {
    let mut known = HashSet::with_capacity(changes.len());
    let last = changes.into_iter().rev().filter(|change| known.insert((change.kind, change.key.clone())));
    let mut last: Vec<_> = last.collect();
    last.reverse();
    last
}

/// Up to which record what is stored has come.
struct Reach {
    /// As the store says, which believes whoever writes to it.
    stored: u64,
    /// As the seal over the rows says.
    sealed: u64,
    /// As the seal over the histories says.
    folded: u64,
}

/// The rows of agents and certificates, as they stand in memory and under the seal.
async fn load_rows(inner: &Inner, ledger: &Ledger) -> Result<(Projection, Rows), Error> {
    let (mut projection, mut rows, log) = (Projection::default(), ledger.rows.cleared(), ledger.log());
    for kind in [Kind::Standing, Kind::Agent] {
        for (key, row) in system::scan(&inner.parts, log, kind).await? {
            // One that does not decode is not under the seal either.
            let bare = SealKey::bare(&row).unwrap_or_default();
            if kind == Kind::Agent {
                AgentEntry::from_row(bare).into_iter().for_each(|entry| projection.put(entry));
            } else if let Ok(Some(certificate)) = certificates::load(&key, bare) {
                projection.certificates.put(certificate);
            }
            rows.add(kind, key, &row);
        }
    }
    let (mut seen, now) = (Vec::new(), ledger.time(UnixTime::default()));
    for (key, value) in scan(inner, log, Kind::Dedup).await? {
        let row = dedup::Row::read(&key, &value, now);
        seen.push(row.ok_or_else(|| StoreError::Corrupt("a row of deduplication does not decode".into()))?);
    }
    seen.sort_by_key(dedup::Row::time);
    for row in seen {
        if let Some(entry) = projection.agents.get_mut(&row.agent) {
            entry.seen.load(row);
        }
    }
    Ok((projection, rows))
}

fn key_of(agent: &AgentId, part: &[u8]) -> Vec<u8> {
    [agent.as_bytes().as_slice(), part].concat()
}

/// Every row of a kind whose rows carry a MAC. Others are left out, and noted: nobody here wrote them.
pub(super) async fn scan(inner: &Inner, log: &LogId, kind: Kind) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
    Ok(inner.opened(log, kind, system::scan(&inner.parts, log, kind).await?).await?)
}
