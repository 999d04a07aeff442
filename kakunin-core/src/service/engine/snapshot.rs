//! Snapshots of the risk histories: taken in a moment, encoded and stored in steps while others decide.
//!
//! The rows of an agent say up to which index they are folded. A seal over all of them says from which index a start
//! replays: what is folded further already is left out for that agent. Each step writes its rows and the seal over what
//! stands then in one transaction, so that a snapshot that is cut off costs nothing; its last step moves the index on.

use std::collections::HashMap;
use std::sync::Arc;

use super::inner::Inner;
use super::seal::{self, SealKey};
use super::system;
use super::tenant::{Sequencer, TenantLog};
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::log::merkle::Frontier;
use crate::risk::{History, Score};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::projection::Projection;
use crate::service::state::rows::set;
use crate::service::state::tally::Tally;
use crate::service::state::usage::Usage;
use crate::store::state::{Change, Kind};
use crate::time::MINUTE;

/// Records between two snapshots, at the most about.
const RECORDS: u64 = 250_000;
/// Milliseconds between two snapshots, if there were records at all.
const INTERVAL: u64 = MINUTE;
/// Agents whose histories are stored in one step.
const STEP: usize = 128;

/// Key of what older versions kept among the histories; shorter than any agent's.
const OLD_INDEX: &[u8] = b"index";
/// What follows an agent's identifier in the key of what it used; its history has nothing there.
const USAGE: &[u8] = b"u";
/// And in the key of what its events amount to.
const TALLY: &[u8] = b"t";
/// And of the index up to which these are folded.
const INDEX: &[u8] = b"i";

/// What is stored of a log's histories.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    /// Up to where all of them are folded.
    floor: Frontier,
    /// The sum of the MACs of all rows, and that of each agent's.
    sum: u128,
    of: HashMap<AgentId, u128>,
    /// Whether a snapshot failed or was dropped, so that what is stored is not known.
    in_doubt: bool,
}

/// An agent's history as it was in one moment.
struct Taken {
    agent: AgentId,
    reach: u64,
    score: Score,
    evidence: [u32; 4],
    history: Arc<History>,
    usage: Arc<Usage>,
    tally: Arc<Tally>,
}

impl Taken {
    fn of(agent: AgentId, entry: &AgentEntry) -> Self {
        Self {
            agent,
            reach: entry.reach,
            score: entry.score,
            evidence: entry.evidence,
            history: entry.history.clone(),
            usage: entry.usage.clone(),
            tally: entry.tally.clone(),
        }
    }

    fn rows(&self) -> Result<[Change; 4], StoreError> {
        let scores = [&[self.score.millionths()], self.evidence.as_slice()].concat();
        let mut value: Vec<u8> = scores.into_iter().flat_map(u32::to_be_bytes).collect();
        value.extend(self.history.encode());
        let put =
            |part, value| Change { kind: Kind::Risk, key: key_of(&self.agent, part), value: Some(value) };
        Ok([
            put(b"", value),
            put(INDEX, self.reach.to_be_bytes().to_vec()),
            set(Kind::Risk, key_of(&self.agent, USAGE), &*self.usage)?,
            set(Kind::Risk, key_of(&self.agent, TALLY), &*self.tally)?,
        ])
    }
}

impl Inner {
    /// Stores what changed since the last snapshot, if it is time.
    pub(crate) async fn snapshot_if_due(&self, tenant: &TenantLog) -> Result<(), Error> {
        let due = {
            let sequencer = self.settled(tenant).await?;
            let grown = sequencer.ledger.size() - sequencer.snapshot_at;
            grown >= RECORDS || grown > 0 && self.now().since(sequencer.snapshot_time) >= INTERVAL
        };
        // It only shortens the next start: what room there is has better uses.
        if due && !self.parts.sink.room().await.full { self.snapshot(tenant).await } else { Ok(()) }
    }

    /// Stores what changed since the last snapshot. Nobody who decides waits for more than a look at what changed.
    pub(crate) async fn snapshot(&self, tenant: &TenantLog) -> Result<(), Error> {
        let _one = tenant.snapshots.lock().await;
        let (mut histories, taken, head) = {
            let mut sequencer = self.settled(tenant).await?;
            if tenant.histories.lock().await.in_doubt {
                sequencer.reload(self).await?;
            }
            // Nobody has them: whoever else wants them has the sequencer, or is the one at it.
            let mut histories = tenant.histories.lock().await;
            histories.in_doubt = true;
            let taken = sequencer.take_changed();
            let head = sequencer.ledger.frontier().clone();
            (sequencer.snapshot_at, sequencer.snapshot_time) = (head.size(), self.now());
            // From here the rows of the state follow, too: a start replays nothing that was before.
            let sealing = sequencer.ledger.rows.seal_anew(Vec::new(), &head);
            self.parts.state.put(sequencer.ledger.log(), &sealing.changes).await?;
            (histories, taken, head)
        };
        let log = LogId::Tenant(tenant.id.clone());
        for some in taken.chunks(STEP) {
            histories.store(self, &log, some).await?;
        }
        histories.floor = head;
        let seal = histories.seal(&self.seal_key, &log);
        self.parts.state.put(&log, &[seal]).await?;
        histories.in_doubt = false;
        Ok(())
    }
}

impl Histories {
    /// One step.
    async fn store(&mut self, inner: &Inner, log: &LogId, some: &[Taken]) -> Result<(), Error> {
        let name = log.to_string();
        let mut changes = Vec::with_capacity(some.len() * 4 + 1);
        for taken in some {
            let rows = taken.rows()?;
            let mac = rows.iter().map(|row| mac_of(&inner.seal_key, &name, row)).fold(0, u128::wrapping_add);
            let before = self.of.insert(taken.agent, mac).unwrap_or_default();
            self.sum = self.sum.wrapping_sub(before).wrapping_add(mac);
            changes.extend(rows);
        }
        changes.push(self.seal(&inner.seal_key, log));
        Ok(inner.parts.state.put(log, &changes).await?)
    }

    fn seal(&self, key: &SealKey, log: &LogId) -> Change {
        let value = Some(key.over(&log.to_string(), seal::HISTORIES, &self.floor, self.sum));
        Change { kind: Kind::Seal, key: seal::HISTORIES.to_vec(), value }
    }
}

impl Sequencer {
    /// The histories that changed since the last snapshot, as they are now.
    fn take_changed(&mut self) -> Vec<Taken> {
        let committed = self.committed.read();
        let agents = self.changed.drain().filter_map(|id| Some((id, committed.agents.get(&id)?)));
        agents.map(|(id, entry)| Taken::of(id, entry)).collect()
    }

    /// The histories of the last snapshot, and up to where all of them are folded: from the beginning if they are not as
    /// they were stored.
    pub(super) async fn load_histories(
        &self,
        inner: &Inner,
        log: &LogId,
        projection: &mut Projection,
    ) -> Result<Frontier, Error> {
        let mut kept = self.histories.lock().await;
        *kept = Histories::default();
        let name = log.to_string();
        let rows = system::scan(&inner.parts, log, Kind::Risk).await?;
        for (key, value) in &rows {
            if let Some((id, _)) = key.split_first_chunk::<16>() {
                let mac = inner.seal_key.row(&name, Kind::Risk, key, value);
                kept.sum = kept.sum.wrapping_add(mac);
                let of = kept.of.entry(AgentId::from_bytes(*id)).or_default();
                *of = of.wrapping_add(mac);
            }
        }
        let seal = inner.parts.state.get(log, Kind::Seal, seal::HISTORIES).await?;
        let floor =
            seal.as_ref().and_then(|seal| inner.seal_key.read(&name, seal::HISTORIES, seal, kept.sum));
        let Some(floor) = floor.filter(|floor| floor.size() <= self.ledger.size()) else {
            if inner.is_sealed() && (seal.is_some() || !rows.is_empty()) {
                inner.damages.note(format!(
                    "the risk histories of log {log} were changed by somebody else; they are folded anew from it"
                ));
            }
            drop(kept);
            self.forget_histories(inner, log).await?;
            return Ok(Frontier::default());
        };
        for (key, value) in rows.iter().filter(|(key, _)| key != OLD_INDEX) {
            let corrupt = || StoreError::Corrupt("a risk history does not decode".into());
            let (id, part) = key.split_first_chunk::<16>().ok_or_else(corrupt)?;
            let Some(entry) = projection.agents.get_mut(&AgentId::from_bytes(*id)) else { continue };
            read(entry, part, value).ok_or_else(corrupt)?;
        }
        kept.floor = floor.clone();
        Ok(floor)
    }

    /// Takes away what is stored of histories that are folded anew, and stored again.
    pub(super) async fn forget_histories(&self, inner: &Inner, log: &LogId) -> Result<(), Error> {
        *self.histories.lock().await = Histories::default();
        let rows = system::scan(&inner.parts, log, Kind::Risk).await?;
        let gone = |kind, key| Change { kind, key, value: None };
        let mut all: Vec<_> = rows.into_iter().map(|(key, _)| gone(Kind::Risk, key)).collect();
        all.push(gone(Kind::Seal, seal::HISTORIES.to_vec()));
        Ok(inner.parts.state.put(log, &all).await?)
    }
}

/// Reads one row into its agent's entry.
fn read(entry: &mut AgentEntry, part: &[u8], value: &[u8]) -> Option<()> {
    match part {
        INDEX => entry.reach = u64::from_be_bytes(value.try_into().ok()?),
        TALLY => entry.tally = Arc::new(serde_json::from_slice(value).ok()?),
        USAGE => entry.usage = Arc::new(serde_json::from_slice(value).ok()?),
        _ => {
            let (scores, history) = value.split_at_checked(20)?;
            let mut scores = scores.chunks_exact(4).map(|c| c.iter().fold(0, |n, b| n << 8 | u32::from(*b)));
            entry.score = Score::from_millionths(scores.next().unwrap_or_default());
            entry.evidence.iter_mut().zip(scores).for_each(|(to, from)| *to = from);
            entry.history = Arc::new(History::decode(history)?);
        }
    }
    Some(())
}

fn mac_of(key: &SealKey, log: &str, row: &Change) -> u128 {
    key.row(log, row.kind, &row.key, row.value.as_deref().unwrap_or_default())
}

fn key_of(agent: &AgentId, part: &[u8]) -> Vec<u8> {
    [agent.as_bytes().as_slice(), part].concat()
}
