//! How a tenant is loaded: state and histories under their seals, and what the log has that they lack.

use std::collections::HashSet;
use std::sync::Arc;

use super::inner::Inner;
use super::ledger::Ledger;
use super::seal::{self, Rows, SealKey};
use super::system;
use super::telling::ScoresDiffer;
use super::tenant::Sequencer;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::record::{Body, Record};
use crate::risk::{History, Score};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::{CertificateState, Certificates as _};
use crate::service::state::key_task::receipt_task;
use crate::service::state::projection::Projection;
use crate::service::state::rows::set;
use crate::service::state::{apply, certificates, dedup, folding, names, notices};
use crate::store::bound::Binding;
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;

/// Records read at once when a log is replayed.
const REPLAY_STEP: usize = 4_096;
/// Key of what older versions kept among the histories; shorter than any agent's.
const OLD_INDEX: &[u8] = b"index";

/// What follows an agent's identifier in the key of what it used; its history has nothing there.
const USAGE: &[u8] = b"u";
/// And in the key of what its events amount to.
const TALLY: &[u8] = b"t";

impl Sequencer {
    /// Stores the risk histories with the index they were taken at.
    pub(crate) async fn snapshot(&mut self, inner: &Inner) -> Result<(), Error> {
        let put =
            |key: &[u8], value: Vec<u8>| Change { kind: Kind::Risk, key: key.to_vec(), value: Some(value) };
        let mut changes = Vec::new();
        for (id, entry) in &self.projection.agents {
            let scores = [&[entry.score.millionths()], entry.evidence.as_slice()].concat();
            let mut value: Vec<u8> = scores.into_iter().flat_map(u32::to_be_bytes).collect();
            value.extend(entry.history.encode());
            changes.push(put(id.as_bytes(), value));
            changes.push(set(Kind::Risk, key_of(id, USAGE), &*entry.usage)?);
            changes.push(set(Kind::Risk, key_of(id, TALLY), &*entry.tally)?);
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
    pub(crate) async fn reload(&mut self, inner: &Inner) -> Result<(), Error> {
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
            let none = Projection::keeping(inner.policy.certificate_retention);
            (self.projection, self.ledger.rows) = (none, stored.cleared());
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
            let bound = |c: &CertificateState| Some(Binding { key: c.key_id?, agent: c.facts.agent });
            inner.bound.remember(all().filter_map(bound));
        }
        self.snapshot_at = folded;
        self.ledger.settled();
        Ok(())
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
                changes.push(receipt_task(row.agent.id, halt)?);
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
            entry.score = Score::from_millionths(scores.next().unwrap_or_default());
            entry.evidence.iter_mut().zip(scores).for_each(|(to, from)| *to = from);
            entry.history = History::decode(history).ok_or_else(corrupt)?;
        }
        Ok(Some(folded))
    }

    /// Applies and folds the records above `frontier` that the state and the histories lack.
    async fn replay(&mut self, inner: &Inner, mut frontier: Frontier, reach: &Reach) -> Result<(), Error> {
        let log = self.ledger.log().clone();
        let mut differing = None;
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
                let scores = self.replay_one(inner, &record, index, due, (&mut follows, &mut rows))?;
                scores.into_iter().for_each(|two| ScoresDiffer::note(&mut differing, index, two));
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
        if let Some(differing) = differing {
            inner.parts.listener.scores_differ(&log, &differing);
        }
        Ok(())
    }

    /// Gives the score on record and the one that came out, where these are two.
    fn replay_one(
        &mut self,
        inner: &Inner,
        record: &Record,
        index: u64,
        (apply, fold): (bool, bool),
        (changes, rows): (&mut Vec<Change>, &mut HashSet<AgentId>),
    ) -> Result<Option<(Score, Score)>, Error> {
        let Some(agent) = record.agent else {
            if apply {
                changes.extend(notices::changes(record, index)?);
            }
            return Ok(None);
        };
        let projection = &mut self.projection;
        let mut entry = projection.agents.remove(&agent);
        let is_control = matches!(record.body, Body::Control(_));
        let before = entry.as_ref().filter(|_| is_control).map(names::known_as);
        if apply && apply::apply(&mut entry, &mut projection.certificates, index, record, changes)? {
            rows.insert(agent);
        }
        let mut scores = None;
        if let Some(mut entry) = entry {
            if fold {
                scores = folding::fold(&mut entry, index, record, &*inner.parts.model, &inner.policy);
            }
            if is_control {
                projection.names.moved(before.as_ref().map(|(name, class)| (name, *class)), &entry);
            }
            projection.agents.insert(agent, entry);
        }
        Ok(scores)
    }
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
    let (mut rows, log) = (ledger.rows.cleared(), ledger.log());
    let mut projection = Projection::keeping(inner.policy.certificate_retention);
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
    for (key, value) in inner.scan(log, Kind::Dedup).await? {
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
