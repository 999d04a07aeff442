//! What a tenant's log amounts to: its agents, their certificates, and what is planned.
//!
//! One function applies a record, whether it was just decided or is read back after a crash, so that
//! replay cannot come to another state than life did.

use std::collections::HashMap;
use std::sync::Arc;

use super::dedup::{Seen, Window};
use super::inbox::Item;
use super::usage::Usage;
use crate::access::JoinTokenFacts;
use crate::agent::{Agent, AgentState, Document};
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial};
use crate::issue::{Issued, Profile};
use crate::key::{KeyRef, PlannedKeyId};
use crate::log::leaf::Act;
pub(super) use crate::log::record::KeyAction;
use crate::log::record::{Body, Control, Record};
use crate::revoke::{Cause, Halt, Revocation};
use crate::risk::{Assessment, Band, History, Prior, RiskModel, Score};
use crate::state::{Change, Kind};
use crate::time::{DAY, UnixTime};

/// An agent with all that decisions about it need.
#[derive(Clone, Debug)]
pub(super) struct AgentEntry {
    pub(super) row: AgentRow,
    pub(super) history: History,
    pub(super) score: Score,
    /// What each family contributed to the score.
    pub(super) evidence: [u32; 4],
    /// What its certificate was used for; in memory and snapshots, as the history.
    pub(super) usage: Arc<Usage>,
    pub(super) seen: Seen,
}

/// The part of an agent's entry that control records change, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct AgentRow {
    pub(super) agent: Agent,
    pub(super) certificates: Vec<CertificateState>,
    pub(super) plan: Option<Plan>,
    pub(super) band: Band,
    pub(super) halt: Option<Halt>,
    /// The join token that may be redeemed.
    #[serde(default)]
    pub(super) join: Option<JoinTokenFacts>,
    warned_on: Option<u64>,
    alerted_on: Option<u64>,
}

/// A certificate of an agent, and whether it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct CertificateState {
    pub(super) facts: Issued,
    pub(super) profile: Profile,
    pub(super) key: Option<KeyRef>,
    /// Its key identifier; `None` for what was planned and given up, whose key may be asked for again.
    #[serde(default)]
    pub(super) key_id: Option<IssuerId>,
    pub(super) constraints: Option<Document>,
    pub(super) standing: Standing,
}

/// Whether a certificate is accepted, expiry apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    Good,
    Held(Revocation),
    Revoked(Revocation),
}

/// An issuance that is under way, or was cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Plan {
    pub(super) planned: Option<PlannedKeyId>,
    pub(super) key: Option<KeyRef>,
    #[serde(default)]
    pub(super) key_id: Option<IssuerId>,
    pub(super) facts: Option<(Issued, Profile)>,
}

/// Something a key provider has yet to be told. Stored with the decision, removed when done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct KeyTask {
    pub(super) key: KeyRef,
    pub(super) task: KeyAction,
    pub(super) agent: AgentId,
    pub(super) serial: Option<Serial>,
    /// Whether people were told that it takes long.
    pub(super) told: bool,
}

/// Agents of one tenant.
#[derive(Debug, Default)]
pub(super) struct Projection {
    pub(super) agents: HashMap<AgentId, AgentEntry>,
    pub(super) serials: HashMap<Serial, AgentId>,
}

impl AgentRow {
    pub(super) fn decode(octets: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(octets)
            .map_err(|_| StoreError::Corrupt("an agent's row does not decode".into()))
    }

    /// Whether an alert about this agent went out on the day of `now`.
    pub(super) fn alerted_today(&self, now: UnixTime) -> bool {
        self.alerted_on == Some(now.millis() / DAY)
    }
}

impl AgentEntry {
    fn new(agent: Agent) -> Self {
        Self::of(AgentRow {
            agent,
            certificates: Vec::new(),
            plan: None,
            band: Band::Low,
            halt: None,
            join: None,
            warned_on: None,
            alerted_on: None,
        })
    }

    fn of(row: AgentRow) -> Self {
        Self {
            row,
            history: History::default(),
            score: Score::default(),
            evidence: [0; 4],
            usage: Arc::default(),
            seen: Seen::default(),
        }
    }

    pub(super) fn from_row(octets: &[u8]) -> Result<Self, StoreError> {
        AgentRow::decode(octets).map(Self::of)
    }

    /// Takes an assessed event into the history.
    pub(super) fn record(&mut self, at: UnixTime, act: &Act, assessment: &Assessment) {
        self.history.record(at, &act.facts, assessment);
        Usage::note(&mut self.usage, &act.action, act.facts.outcome);
        (self.score, self.evidence) = (assessment.score, assessment.evidence);
    }

    /// Begins the account of a new certificate. One that follows a revocation or hold is somebody's
    /// decision to trust the agent again: the evidence is forgotten.
    pub(super) fn certified(&mut self, reinstates: bool) {
        self.usage = Arc::default();
        if reinstates {
            (self.history, self.score, self.evidence) = (History::default(), Score::default(), [0; 4]);
        }
    }

    /// The keys of its certificates.
    pub(super) fn keys(&self) -> impl Iterator<Item = (IssuerId, AgentId)> {
        self.row.certificates.iter().filter_map(|c| c.key_id).map(|key| (key, self.row.agent.id))
    }

    pub(super) fn certificate(&self, serial: &Serial) -> Option<&CertificateState> {
        self.row.certificates.iter().find(|c| c.facts.serial == *serial)
    }

    /// The certificate that is neither revoked nor expired, held or not.
    pub(super) fn standing_certificate(&self, now: UnixTime) -> Option<&CertificateState> {
        self.row
            .certificates
            .iter()
            .rev()
            .find(|c| !matches!(c.standing, Standing::Revoked(_)) && now <= c.facts.not_after)
    }
}

/// Applies one record to the agent it concerns, and says what has to be stored: `changes`, and whether the
/// agent's row too, which is written once however many records change it.
///
/// `entry` is `None` only for `agent.registered`. Risk histories are folded apart, by [`fold`].
pub(super) fn apply(
    entry: &mut Option<AgentEntry>,
    index: u64,
    record: &Record,
    changes: &mut Vec<Change>,
) -> Result<bool, StoreError> {
    let control = match &record.body {
        Body::Event(act, _) => {
            if let Some(entry) = entry {
                remember(entry, record.time, act, changes);
            }
            return Ok(false);
        }
        Body::Control(control) => control,
    };
    if let Control::AgentRegistered(agent) = &**control {
        *entry = Some(AgentEntry::new(agent.clone()));
    }
    let Some(entry) = entry else {
        return Err(StoreError::Corrupt(format!(
            "record {index} concerns an agent that was never registered"
        )));
    };
    apply_control(entry, index, record, control, changes)?;
    Ok(true)
}

impl AgentEntry {
    /// The agent's row, as it has to be stored.
    pub(super) fn change(&self) -> Result<Change, StoreError> {
        set(Kind::Agent, self.row.agent.id.as_bytes().to_vec(), &self.row)
    }
}

/// Folds one record into the agent's risk history, as it was folded when it was decided.
pub(super) fn fold(entry: &mut AgentEntry, record: &Record, model: &dyn RiskModel, prior: &Prior) {
    match &record.body {
        Body::Event(act, _) if act.score.is_some() => {
            let assessment = model.assess(&entry.history, prior, record.time, &act.facts);
            entry.record(record.time, act, &assessment);
        }
        Body::Control(control) => {
            if let Control::CertificateIssued { reinstates, .. } = &**control {
                entry.certified(*reinstates);
            }
        }
        Body::Event(..) => {}
    }
}

fn apply_control(
    entry: &mut AgentEntry,
    index: u64,
    record: &Record,
    control: &Control,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let row = &mut entry.row;
    row.agent.updated_at = record.time;
    match control {
        Control::AgentRetired => row.agent.state = AgentState::Retired,
        Control::AgentUpdated(spec) => row.agent.spec = spec.clone(),
        Control::AgentHalted { halt, .. } => {
            row.halt = Some(*halt);
            row.agent.state = AgentState::Suspended;
            changes.push(Item::about(record, index).halted(halt).change()?);
        }
        Control::PossessionMissing => {
            row.alerted_on = Some(record.time.millis() / DAY);
            changes.push(Item::about(record, index).impersonated().change()?);
        }
        Control::JoinTokenCreated(facts) => row.join = Some(*facts),
        Control::JoinTokenRedeemed { .. } => row.join = None,
        Control::KeyPlanned { planned, .. } => {
            row.plan = Some(Plan { planned: Some(planned.clone()), ..Plan::default() });
        }
        Control::KeyBound { key, key_id, .. } => {
            let plan = row.plan.get_or_insert_default();
            plan.key.clone_from(key);
            plan.key_id = Some(*key_id);
        }
        Control::KeyAbandoned { planned } => {
            row.plan = None;
            changes.push(task(row, index, record.serial, KeyTask::sweep(planned))?);
        }
        Control::KeyTaskDelayed { .. } => changes.push(Item::about(record, index).key_delayed().change()?),
        Control::CertificatePlanned { facts, profile } => {
            row.plan.get_or_insert_default().facts = Some((*facts, *profile));
        }
        Control::CertificateIssued { facts, certificate, reinstates, constraints, .. } => {
            if *reinstates {
                (row.band, row.halt) = (Band::Low, None);
            }
            let plan = row.plan.take().unwrap_or_default();
            row.certificates.push(CertificateState {
                facts: *facts,
                profile: plan.facts.map_or_else(Profile::default, |(_, profile)| profile),
                key: plan.key,
                key_id: plan.key_id,
                constraints: constraints.clone(),
                standing: Standing::Good,
            });
            row.agent.state = AgentState::Active;
            row.agent.certificate = Some(facts.serial);
            changes.push(Change {
                kind: Kind::Certificate,
                key: facts.serial.as_bytes().to_vec(),
                value: Some(certificate.as_bytes().to_vec()),
            });
        }
        Control::CertificateRevoked { revocation, evidence } => {
            revoke(row, index, revocation, changes)?;
            let told = row.halt.is_some_and(|halt| halt.serial == Some(revocation.serial));
            if !told && !matches!(revocation.cause, Cause::Abandoned | Cause::Superseded) {
                let item = Item::about(record, index).revoked(revocation.cause, evidence.clone());
                changes.push(item.change()?);
            }
        }
        Control::CertificateHeld(hold) => {
            stand(row, index, &hold.serial, (Standing::Held(*hold), KeyAction::Disable), changes)?;
            // An older certificate says nothing of the agent.
            if row.agent.certificate == Some(hold.serial) {
                row.agent.state = AgentState::Suspended;
            }
        }
        Control::CertificateReleased { .. } => {
            if let Some(serial) = record.serial {
                stand(row, index, &serial, (Standing::Good, KeyAction::Enable), changes)?;
            }
            if row.agent.certificate == record.serial {
                row.agent.state = AgentState::Active;
            }
        }
        Control::BandChanged { to, evidence, .. } => {
            let today = record.time.millis() / DAY;
            if *to == Band::Warning && row.warned_on != Some(today) {
                row.warned_on = Some(today);
                changes.push(Item::about(record, index).warned(evidence.clone()).change()?);
            }
            row.band = *to;
        }
        Control::AgentRegistered(_)
        | Control::DeploymentCreated { .. }
        | Control::CaCreated { .. }
        | Control::TenantCreated { .. }
        | Control::CrlPublished { .. }
        | Control::VisibilityChanged { .. }
        | Control::DeploymentSealed { .. }
        | Control::ApiKeyCommitted { .. }
        | Control::KeyGranted { .. }
        | Control::ApiKeyCreated(_)
        | Control::ApiKeyRevoked { .. }
        | Control::RevocationChanged(_) => {}
    }
    Ok(())
}

fn revoke(
    row: &mut AgentRow,
    index: u64,
    revocation: &Revocation,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if revocation.cause == Cause::Abandoned {
        // Planned, perhaps signed, never recorded as issued: known from now on, and refused for ever.
        let key = row.plan.take().and_then(|p| p.key);
        let facts = Issued {
            serial: revocation.serial,
            agent: revocation.agent,
            issuer: revocation.issuer,
            not_before: revocation.at,
            not_after: revocation.expires,
            shard: revocation.shard,
        };
        let profile = Profile::default();
        let standing = Standing::Good;
        row.certificates.push(CertificateState {
            facts,
            profile,
            key,
            key_id: None,
            constraints: None,
            standing,
        });
    } else if row.agent.state != AgentState::Retired && row.agent.certificate == Some(revocation.serial) {
        // An older one, superseded by renewal, takes nothing away from its agent.
        row.agent.state = AgentState::Suspended;
    }
    stand(row, index, &revocation.serial, (Standing::Revoked(*revocation), KeyAction::Retire), changes)
}

fn stand(
    row: &mut AgentRow,
    index: u64,
    serial: &Serial,
    (standing, action): (Standing, KeyAction),
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let certificate = row.certificates.iter_mut().find(|c| c.facts.serial == *serial);
    let certificate = certificate
        .ok_or_else(|| StoreError::Corrupt("a record concerns a certificate that was never issued".into()))?;
    certificate.standing = standing;
    if let Some(key) = certificate.key.clone() {
        changes.push(task(row, index, Some(*serial), (key, action))?);
    }
    Ok(())
}

fn task(
    row: &AgentRow,
    index: u64,
    serial: Option<Serial>,
    (key, task): (KeyRef, KeyAction),
) -> Result<Change, StoreError> {
    let task = KeyTask { key, task, agent: row.agent.id, serial, told: false };
    // By index: a later task of the same key is another row, and tasks are done in order.
    set(Kind::Plan, index.to_be_bytes().to_vec(), &task)
}

fn remember(entry: &mut AgentEntry, at: UnixTime, act: &Act, changes: &mut Vec<Change>) {
    let agent = entry.row.agent.id;
    if let Some((stream, seq)) = act.stream {
        let window = entry.seen.add_number(stream, seq);
        let value = [window.high.to_be_bytes(), window.mask.to_be_bytes()].concat();
        changes.push(Change { kind: Kind::Dedup, key: dedup_key(&agent, 0, stream), value: Some(value) });
    }
    if let Some(id) = act.client_id {
        entry.seen.add_id(at, id);
        let value = Some(at.millis().to_be_bytes().to_vec());
        changes.push(Change { kind: Kind::Dedup, key: dedup_key(&agent, 1, id), value });
        for gone in entry.seen.forget_ids(at) {
            changes.push(Change { kind: Kind::Dedup, key: dedup_key(&agent, 1, gone), value: None });
        }
    }
}

fn dedup_key(agent: &AgentId, part: u8, number: u64) -> Vec<u8> {
    [agent.as_bytes().as_slice(), &[part], &number.to_be_bytes()].concat()
}

/// Takes one stored row of [`Kind::Dedup`] back; rows come in the order of their keys, so identifiers
/// are put in order of time by the caller.
pub(super) fn load_dedup(key: &[u8], value: &[u8]) -> Option<(AgentId, DedupRow)> {
    let (agent, rest) = key.split_first_chunk::<16>()?;
    let (part, number) = rest.split_first()?;
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let (first, rest) = value.split_first_chunk::<8>()?;
    let first = u64::from_be_bytes(*first);
    let row = match part {
        0 => {
            DedupRow::Stream(number, Window { high: first, mask: u64::from_be_bytes(rest.try_into().ok()?) })
        }
        1 => DedupRow::Id(UnixTime::from_millis(first), number),
        _ => return None,
    };
    Some((AgentId::from_bytes(*agent), row))
}

/// One stored row of [`Kind::Dedup`].
pub(super) enum DedupRow {
    Stream(u64, Window),
    Id(UnixTime, u64),
}

/// A change that sets `value` as JSON.
pub(super) fn set(kind: Kind, key: Vec<u8>, value: &impl serde::Serialize) -> Result<Change, StoreError> {
    let octets = serde_json::to_vec(value).map_err(StoreError::unavailable)?;
    Ok(Change { kind, key, value: Some(octets) })
}
