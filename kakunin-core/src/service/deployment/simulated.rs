//! Who would have been warned, and who would have lost the identity, by another model or another policy, over the logs as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aside::{RebuildProgress, aside};
use super::config::Config;
use super::load::load;
use crate::agent::Label;
use crate::error::StoreError;
use crate::id::{AgentId, TenantId};
use crate::log::entry::LogId;
use crate::log::merkle::Frontier;
use crate::log::record::{Body, Control, Evidence, Record};
use crate::policy::{Mode, Policy, PolicyError};
use crate::risk::{Band, Family, ModelId, Models, RiskModel, Score};
use crate::service::engine::inner::Inner;
use crate::service::engine::parts::Parts;
use crate::service::engine::system;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::folding::{self, Judging, Measure};
use crate::service::state::own::{InForce, Own};
use crate::store::MemoryStore;
use crate::time::UnixTime;

/// Records read at once.
const STEP: usize = 4_096;

/// What is to be otherwise than it was.
#[derive(Clone, Debug, Default)]
pub struct WhatIf {
    /// The model that judges all events; `None`: the one that the policy below names, or else the one that judged then.
    pub model: Option<Arc<dyn RiskModel>>,
    /// What follows from scores; `None`: what was in force then.
    pub policy: Option<Policy>,
}

/// What would have come of one tenant's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedLog {
    /// Which log.
    pub log: LogId,
    /// Agents that have a scored event.
    pub agents: u64,
    /// Scored events.
    pub scored: u64,
    /// Agents that were warned of or revoked, or would have been, in the order of their identifiers.
    pub told: Vec<SimulatedAgent>,
}

/// One agent, as it would have gone and as it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedAgent {
    /// Which.
    pub agent: AgentId,
    /// Its name when it was registered.
    pub name: Label,
    /// What would have been.
    pub simulated: Crossings,
    /// What is on record.
    pub recorded: Crossings,
}

/// When first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crossings {
    /// It was warned of.
    pub warned: Option<Crossing>,
    /// It lost its identity because of its score, or that was held by the breaker.
    pub revoked: Option<Crossing>,
}

/// The event that did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Its index in the log.
    pub index: u64,
    /// When it was recorded; of what is on record, when that was.
    pub at: UnixTime,
    /// The score after it.
    pub score: Score,
    /// The model that made it.
    pub model: ModelId,
    /// What each family contributed, strongest first.
    pub families: Vec<(Family, Score)>,
}

/// Judges every scored event anew, and says of each agent when it would have been warned of and when it would have lost its
/// identity, beside what is on record. Verdicts and reinstatements on record count as they were given. Nothing is written.
///
/// What is on record is what was done with the real decisions: an agent that lost its identity has no scored events after
/// that, and one that would have lost it earlier has. The breaker is not simulated: what it would hold counts as lost.
///
/// # Errors
/// [`Error::Policy`] if the policy is none, or names a model that is not there; [`Error::Deployment`] and [`Error::Store`] as
/// for [`Kakunin::open`](crate::service::Kakunin::open).
pub async fn simulate(
    config: Config,
    parts: Parts,
    what_if: WhatIf,
    progress: Option<RebuildProgress>,
) -> Result<Vec<SimulatedLog>, Error> {
    let WhatIf { model, policy } = what_if;
    let (mut anew, _) = load(config, aside(&parts, Arc::new(MemoryStore::new()), progress)).await?;
    policy.as_ref().map_or(Ok(()), Policy::check)?;
    let named = policy.as_ref().and_then(|policy| policy.model.as_ref());
    let model = match (model, named) {
        (Some(model), _) => Some(model),
        (None, Some(name)) => Some(anew.models.find(name).ok_or(PolicyError::Model)?),
        (None, None) => None,
    };
    if let Some(model) = model {
        anew.models = Models::only(model);
    }
    let policy = policy.map(Arc::new);
    let mut logs = Vec::new();
    for tenant in anew.tenant_ids() {
        logs.push(Simulation::over(&anew, policy.as_ref(), tenant).run().await?);
    }
    Ok(logs)
}

struct Simulation<'a> {
    inner: &'a Inner,
    policy: Option<&'a Arc<Policy>>,
    log: LogId,
    own: Own,
    agents: BTreeMap<AgentId, Life>,
    scored: u64,
}

/// One agent in the course of it.
struct Life {
    entry: AgentEntry,
    name: Label,
    band: Band,
    scored: bool,
    simulated: Crossings,
    recorded: Crossings,
}

impl<'a> Simulation<'a> {
    fn over(inner: &'a Inner, policy: Option<&'a Arc<Policy>>, tenant: TenantId) -> Self {
        let own = Own::of(inner.known.read(|state| state.tenants.model(&tenant).cloned()));
        Self { inner, policy, log: LogId::Tenant(tenant), own, agents: BTreeMap::new(), scored: 0 }
    }

    async fn run(mut self) -> Result<SimulatedLog, Error> {
        let ledger = self.inner.ledger(self.log.clone()).await?;
        system::verify(&self.inner.parts, &ledger, Frontier::default()).await?;
        let mut index = 0;
        while index < ledger.size() {
            let entries = self.inner.parts.sink.read_leaves(&self.log, index, STEP).await?;
            if entries.is_empty() {
                return Err(system::cut_off(&self.log).into());
            }
            for entry in &entries {
                self.take(index, &Record::open(entry)?)?;
                index += 1;
            }
        }
        let told =
            |life: &Life| [&life.simulated, &life.recorded].iter().any(|of| **of != Crossings::default());
        let agents = self.agents.values().filter(|life| life.scored).count();
        let lives = self.agents.into_iter().filter(|(_, life)| told(life));
        let told = lives.map(|(agent, Life { name, simulated, recorded, .. })| SimulatedAgent {
            agent,
            name,
            simulated,
            recorded,
        });
        let told = told.collect();
        Ok(SimulatedLog {
            log: self.log,
            agents: u64::try_from(agents).unwrap_or(u64::MAX),
            scored: self.scored,
            told,
        })
    }

    fn take(&mut self, index: u64, record: &Record) -> Result<(), StoreError> {
        if Own::concerns(record) {
            self.own.apply(index, record, &mut Vec::new())?;
        }
        let Some(agent) = record.agent else { return Ok(()) };
        if let Body::Control(control) = &record.body
            && let Control::AgentRegistered(agent) = &**control
        {
            let life = Life {
                entry: AgentEntry::new(agent.clone()),
                name: agent.spec.name.clone(),
                band: Band::default(),
                scored: false,
                simulated: Crossings::default(),
                recorded: Crossings::default(),
            };
            self.agents.insert(agent.id, life);
        }
        let unknown =
            || StoreError::Corrupt(format!("record {index} is of an agent that was never registered"));
        let life = self.agents.get_mut(&agent).ok_or_else(unknown)?;
        let in_force = InForce::before(&self.own, index, &self.inner.settings.policy).policy;
        let policy = self.policy.unwrap_or(&in_force);
        let judging = Judging::at(&self.own, index, &self.inner.models);
        let prior = &self.inner.settings.prior;
        let measure = Measure { judging, second: None, prior, policy };
        self.scored += u64::from(life.take(index, record, measure));
        life.note(record);
        Ok(())
    }
}

impl Life {
    /// Folds a record, and notes what would have followed; says whether it was scored.
    fn take(&mut self, index: u64, record: &Record, measure: Measure<'_>) -> bool {
        let Measure { judging, policy, .. } = measure;
        self.entry.judged_by(judging);
        let doubts = self.entry.tally.suspicious(record.time);
        let scored = folding::fold(&mut self.entry, index, record, measure).is_some();
        let (score, all) = (self.entry.score, self.entry.tally.suspicious(record.time));
        self.band = policy.band(score, self.band);
        if !scored {
            return false;
        }
        self.scored = true;
        let crossing = || Crossing {
            index,
            at: record.time,
            score,
            model: judging.model.id(),
            families: Family::ranked(&self.entry.evidence),
        };
        if policy.mode != Mode::Observe && self.band >= Band::Warning {
            self.simulated.warned.get_or_insert_with(crossing);
        }
        let loses = policy.mode == Mode::Enforce
            && score >= policy.thresholds.revoke()
            && all > doubts
            && all >= policy.minimum.events;
        if loses {
            self.simulated.revoked.get_or_insert_with(crossing);
        }
        true
    }

    /// Notes what followed.
    fn note(&mut self, record: &Record) {
        let Body::Control(control) = &record.body else { return };
        let crossing = |evidence: &Evidence| Crossing {
            index: evidence.event,
            at: record.time,
            score: evidence.score,
            model: evidence.model.clone(),
            families: evidence.families.clone(),
        };
        match &**control {
            Control::BandChanged { to, evidence, .. }
                if *to >= Band::Warning && evidence.mode != Mode::Observe =>
            {
                self.recorded.warned.get_or_insert_with(|| crossing(evidence));
            }
            Control::CertificateRevoked { evidence: Some(evidence), .. } => {
                self.recorded.revoked.get_or_insert_with(|| crossing(evidence));
            }
            Control::CertificateHeld { braked: Some(braked), .. } => {
                self.recorded.revoked.get_or_insert_with(|| crossing(&braked.evidence));
            }
            _ => {}
        }
    }
}
