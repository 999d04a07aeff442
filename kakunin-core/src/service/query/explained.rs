//! Why an agent's score is what it is: the events that make it up, and what it would be without them.

use std::collections::{BTreeMap, HashSet};

use super::filter::RecordFilter;
use super::page::ReadFrom;
use crate::event::Outcome;
use crate::id::AgentId;
use crate::log::record::{Body, Control, Record};
use crate::policy::Verdict;
use crate::risk::{Family, ModelId, Score, Thresholds};
use crate::scope::Action;
use crate::service::effects::running::Running;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::folding::{self, Judging, Measure};
use crate::service::state::own::{InForce, Own};
use crate::time::{DAY, UnixTime};

/// Most records of an agent that are gone over.
pub const MAX_EXPLAINED: usize = 50_000;
/// Events of a family that are named.
const STRONGEST: usize = 8;
/// Days that are looked back.
const DAYS: u64 = 30;
/// Records read at once.
const PAGE: usize = 1_000;

/// Why an agent's score is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The agent.
    pub agent: AgentId,
    /// Its score now,
    pub score: Score,
    /// and what it would be without the events below.
    pub without: Score,
    /// The model that makes it.
    pub model: ModelId,
    /// Index of the record that put the policy in force; `None`: it is the deployment's.
    pub policy: Option<u64>,
    /// Where bands begin by it.
    pub thresholds: Thresholds,
    /// What each family contributed when the agent last did something, strongest first.
    pub families: Vec<(Family, Score)>,
    /// The strongest events of each family of the last 30 days that nobody dismissed, at most eight a family, in their order.
    pub events: Vec<Grounds>,
    /// The highest score of each of the last 30 days on which something was scored, by its beginning, oldest first.
    pub days: Vec<(UnixTime, Score)>,
}

/// An event that speaks against its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grounds {
    /// Its index in the log.
    pub index: u64,
    /// When it was recorded.
    pub at: UnixTime,
    /// What was done,
    pub action: Action,
    /// and how that ended.
    pub outcome: Outcome,
    /// The score after it.
    pub score: Score,
    /// How much it surprised the model, in millionths of a bit, most first. It counts less as time goes by.
    pub surprise: Vec<(Family, u32)>,
}

impl Tenant {
    /// Why an agent's score is what it is, made from its records: nothing of it is kept. `None` if it has more than
    /// [`MAX_EXPLAINED`] of them.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's agents too, and what the store says.
    pub async fn explain(&self, agent: &AgentId) -> Result<Option<Explanation>, Error> {
        let now = self.inner.now();
        self.agent(agent).await?;
        let Some(records) = self.records_of(agent).await? else { return Ok(None) };
        let tenant = self.inner.tenant(&self.id).await?;
        let own = self.inner.committed(&tenant).await?.own.clone();
        let past = Past { inner: &self.inner, own: &own, records: &records, now };
        let (entry, told) = past.fold(&HashSet::new())?;
        let events = strongest(told.events);
        let without = events.iter().map(|event| event.index).collect();
        let (calmer, _) = past.fold(&without)?;
        let InForce { since, policy, model } = InForce::of(&own, &self.inner.settings.policy);
        let judging = Judging::now(&own, &self.inner.models);
        let standing = |entry: &AgentEntry| folding::standing_of(entry, judging, &policy, now).0;
        let (score, families) = match entry.is_of_another(judging) {
            true => (Score::default(), Vec::new()),
            false => (standing(&entry), Family::ranked(&entry.evidence)),
        };
        Ok(Some(Explanation {
            agent: *agent,
            score,
            without: standing(&calmer),
            model: (*model).clone(),
            policy: since,
            thresholds: policy.thresholds,
            families,
            events,
            days: told.days.into_iter().collect(),
        }))
    }

    /// All records of an agent, if they are not too many.
    async fn records_of(&self, agent: &AgentId) -> Result<Option<Vec<(u64, Record)>>, Error> {
        let filter = RecordFilter { agent: Some(*agent), ..RecordFilter::default() };
        let (mut all, mut from) = (Vec::new(), 0);
        loop {
            let page = self.find(&filter, ReadFrom::After(from), PAGE, |_| true).await?;
            // Scores are made of leaves: what else an event holds is not kept in memory.
            let bare = |mut record: Record| {
                if let Body::Event(_, payload) = &mut record.body {
                    *payload = None;
                }
                record
            };
            all.extend(page.items.into_iter().map(|item| (item.index, bare(item.record))));
            match page.next {
                _ if all.len() > MAX_EXPLAINED => return Ok(None),
                Some(next) => from = next,
                None => return Ok(Some(all)),
            }
        }
    }
}

/// What happened to an agent, and by what it is judged.
struct Past<'a> {
    inner: &'a Running,
    own: &'a Own,
    records: &'a [(u64, Record)],
    now: UnixTime,
}

/// What is told of it.
#[derive(Default)]
struct Told {
    events: Vec<Grounds>,
    days: BTreeMap<UnixTime, Score>,
}

impl Past<'_> {
    /// Folds the records anew, but for these events.
    fn fold(&self, without: &HashSet<u64>) -> Result<(AgentEntry, Told), Error> {
        let (mut entry, mut told) = (None, Told::default());
        for (index, record) in self.records.iter().filter(|(index, _)| !without.contains(index)) {
            if let Body::Control(control) = &record.body
                && let Control::AgentRegistered(agent) = &**control
            {
                entry = Some(AgentEntry::new(agent.clone()));
            }
            if let Some(entry) = &mut entry {
                self.take(entry, &mut told, (*index, record));
            }
        }
        Ok((entry.ok_or(Error::NotFound("agent"))?, told))
    }

    fn take(&self, entry: &mut AgentEntry, told: &mut Told, (index, record): (u64, &Record)) {
        let policy = InForce::before(self.own, index, &self.inner.settings.policy).policy;
        let judging = Judging::at(self.own, index, &self.inner.models);
        let prior = &self.inner.settings.prior;
        if entry.is_of_another(judging) || is_forgotten(record) {
            told.events.clear();
        }
        entry.judged_by(judging);
        let scored = match &record.body {
            Body::Event(act, _) => act.score.map(|_| {
                (act, judging.model.assess(&entry.history, prior, record.time, &act.facts).surprise)
            }),
            Body::Control(_) => None,
        };
        folding::fold(entry, index, record, Measure { judging, second: None, prior, policy: &policy });
        let Some((act, surprise)) = scored.filter(|_| self.now.since(record.time) < DAYS * DAY) else {
            return;
        };
        let day = told.days.entry(record.time.minus(record.time.millis() % DAY)).or_default();
        *day = (*day).max(entry.score);
        let mut surprise: Vec<_> =
            Family::ALL.iter().copied().zip(surprise).filter(|(_, bits)| *bits > 0).collect();
        surprise.sort_by_key(|(family, bits)| (core::cmp::Reverse(*bits), *family));
        if !surprise.is_empty() {
            told.events.push(Grounds {
                index,
                at: record.time,
                action: act.action.clone(),
                outcome: act.facts.outcome,
                score: entry.score,
                surprise,
            });
        }
    }
}

/// Whether what happened before a record counts no more.
fn is_forgotten(record: &Record) -> bool {
    let Body::Control(control) = &record.body else { return false };
    match &**control {
        Control::AgentReinstated { .. } => true,
        Control::CertificateIssued { reinstates, .. } => *reinstates,
        Control::RiskVerdict(given) => given.verdict != Verdict::ConfirmCompromised,
        _ => false,
    }
}

/// Of each family the strongest, of equal ones the latest.
fn strongest(mut events: Vec<Grounds>) -> Vec<Grounds> {
    let mut named = HashSet::new();
    for family in Family::ALL {
        let bits =
            |event: &Grounds| event.surprise.iter().find(|(of, _)| of == family).map(|(_, bits)| *bits);
        let mut of: Vec<_> = events.iter().filter_map(|event| Some((bits(event)?, event.index))).collect();
        of.sort_unstable_by_key(|strength| core::cmp::Reverse(*strength));
        named.extend(of.into_iter().take(STRONGEST).map(|(_, index)| index));
    }
    events.retain(|event| named.contains(&event.index));
    events
}
