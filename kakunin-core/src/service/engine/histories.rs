//! Risk histories as they are stored: rows of each agent, and a seal over all of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::seal::{self, SealKey};
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::log::merkle::Frontier;
use crate::risk::{History, ModelId, Score};
use crate::service::state::agent::AgentEntry;
use crate::service::state::projection::Projection;
use crate::service::state::rows::set;
use crate::service::state::second::Second;
use crate::service::state::tally::Tally;
use crate::service::state::usage::Usage;
use crate::store::state::{Change, Kind, StateStore};

/// Key of what older versions kept among the histories; shorter than any agent's.
pub(super) const OLD_INDEX: &[u8] = b"index";
/// What follows an agent's identifier in the key of what it used; its history has nothing there.
const USAGE: &[u8] = b"u";
/// And in the key of what its events amount to.
const TALLY: &[u8] = b"t";
/// And of what a second model makes of it.
const SECOND: &[u8] = b"s";
/// And of the index up to which these are folded.
const INDEX: &[u8] = b"i";

/// What is stored of a log's histories.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    /// Up to where all of them are folded.
    pub(super) floor: Frontier,
    /// The sum of the MACs of all rows, and that of each agent's.
    pub(super) sum: u128,
    pub(super) of: HashMap<AgentId, u128>,
    /// Whether a snapshot failed or was dropped, so that what is stored is not known.
    pub(super) in_doubt: bool,
}

/// An agent's history as it was in one moment.
pub(crate) struct Taken {
    pub(super) agent: AgentId,
    reach: u64,
    score: Score,
    evidence: [u32; 4],
    history: Arc<History>,
    usage: Arc<Usage>,
    tally: Arc<Tally>,
    second: Option<Arc<Second>>,
}

impl Taken {
    pub(crate) fn of(agent: AgentId, entry: &AgentEntry) -> Self {
        Self {
            agent,
            reach: entry.reach,
            score: entry.score,
            evidence: entry.evidence,
            history: entry.history.clone(),
            usage: entry.usage.clone(),
            tally: entry.tally.clone(),
            second: entry.second.clone(),
        }
    }

    /// Those of all agents, and the model that judges them.
    pub(crate) fn all(projection: &Projection) -> (ModelId, Vec<Self>) {
        let model = ModelId::clone(projection.own.policies.model(u64::MAX).1);
        (model, projection.agents.iter().map(|(id, entry)| Self::of(*id, entry)).collect())
    }

    /// What follows from the log, as rows: not up to where it is stored, nor what a second model makes of it.
    pub(super) fn folded(&self) -> Result<Vec<Change>, StoreError> {
        let mut rows = self.rows()?;
        rows.retain(|row| ![INDEX, SECOND].contains(&row.key.get(16..).unwrap_or_default()));
        rows.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Ok(rows)
    }

    fn rows(&self) -> Result<Vec<Change>, StoreError> {
        let scores = [&[self.score.millionths()], self.evidence.as_slice()].concat();
        let mut value: Vec<u8> = scores.into_iter().flat_map(u32::to_be_bytes).collect();
        value.extend(self.history.encode());
        let put =
            |part, value| Change { kind: Kind::Risk, key: key_of(&self.agent, part), value: Some(value) };
        // Where it has none, the row of before leaves: it would count in the sum.
        let second = Change {
            kind: Kind::Risk,
            key: key_of(&self.agent, SECOND),
            value: self.second.as_ref().map(|second| second.encode()),
        };
        let rows = [
            put(b"", value),
            put(INDEX, self.reach.to_be_bytes().to_vec()),
            set(Kind::Risk, key_of(&self.agent, USAGE), &*self.usage)?,
            set(Kind::Risk, key_of(&self.agent, TALLY), &*self.tally)?,
        ];
        Ok(rows.into_iter().chain([second]).collect())
    }
}

impl Histories {
    /// One step.
    pub(super) async fn store(
        &mut self,
        (state, key): (&dyn StateStore, &SealKey),
        log: &LogId,
        some: &[Taken],
    ) -> Result<(), StoreError> {
        let name = log.to_string();
        let mut changes = Vec::with_capacity(some.len() * 4 + 1);
        for taken in some {
            let rows = taken.rows()?;
            let there = rows.iter().filter(|row| row.value.is_some());
            let mac = there.map(|row| mac_of(key, &name, row)).fold(0, u128::wrapping_add);
            let before = self.of.insert(taken.agent, mac).unwrap_or_default();
            self.sum = self.sum.wrapping_sub(before).wrapping_add(mac);
            changes.extend(rows);
        }
        changes.push(self.seal(key, log));
        state.put(log, &changes).await
    }

    pub(super) fn seal(&self, key: &SealKey, log: &LogId) -> Change {
        let value = Some(key.over(&log.to_string(), seal::HISTORIES, &self.floor, self.sum));
        Change { kind: Kind::Seal, key: seal::HISTORIES.to_vec(), value }
    }
}

/// Reads one row into its agent's entry.
pub(super) fn read(entry: &mut AgentEntry, part: &[u8], value: &[u8]) -> Option<()> {
    match part {
        SECOND => entry.second = Some(Arc::new(Second::decode(value)?)),
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
