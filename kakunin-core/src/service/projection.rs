//! What a tenant's log amounts to: its agents, their certificates, and what is planned.
//!
//! One function applies a record, whether it was just decided or is read back after a crash, so that
//! replay cannot come to another state than life did.

use std::collections::HashMap;

use super::dedup::{Seen, Window};
use crate::agent::{Agent, AgentState};
use crate::error::StoreError;
use crate::id::{AgentId, Serial};
use crate::issue::Issued;
use crate::key::{KeyRef, PlannedKeyId};
use crate::log::leaf::Act;
use crate::log::record::{Body, Control, Evidence, Record};
use crate::revoke::{Cause, Revocation};
use crate::risk::{Band, History, Prior, RiskModel, Score};
use crate::state::{Change, Kind};
use crate::time::{DAY, UnixTime};

/// An agent with all that decisions about it need.
#[derive(Clone, Debug)]
pub(super) struct AgentEntry {
    pub(super) row: AgentRow,
    pub(super) history: History,
    pub(super) score: Score,
    pub(super) seen: Seen,
}

/// The part of an agent's entry that control records change, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct AgentRow {
    pub(super) agent: Agent,
    pub(super) certificates: Vec<CertificateState>,
    pub(super) plan: Option<Plan>,
    pub(super) band: Band,
    warned_on: Option<u64>,
}

/// A certificate of an agent, and whether it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct CertificateState {
    pub(super) facts: Issued,
    pub(super) key: Option<KeyRef>,
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
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Plan {
    pub(super) planned: Option<PlannedKeyId>,
    pub(super) key: Option<KeyRef>,
    pub(super) facts: Option<Issued>,
}

/// Something a key provider has yet to be told. Stored with the decision, removed when done.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct KeyTask {
    pub(super) key: KeyRef,
    pub(super) task: KeyAction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyAction {
    Disable,
    Enable,
    Retire,
}

/// An item of the inbox.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notification {
    /// `pre_revocation_warning` or `agent_revoked`.
    pub kind: NotificationKind,
    /// Which agent.
    pub agent: AgentId,
    /// With which certificate.
    pub serial: Option<Serial>,
    /// When.
    pub at: UnixTime,
    /// On what evidence, when behaviour was the cause.
    pub evidence: Option<Evidence>,
}

/// What the inbox tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotificationKind {
    /// The score reached the warning threshold; once a day and agent.
    PreRevocationWarning,
    /// The identity was taken away.
    AgentRevoked,
}

/// Agents of one tenant.
#[derive(Debug, Default)]
pub(super) struct Projection {
    pub(super) agents: HashMap<AgentId, AgentEntry>,
    pub(super) serials: HashMap<Serial, AgentId>,
}

impl AgentEntry {
    fn new(agent: Agent) -> Self {
        let row = AgentRow { agent, certificates: Vec::new(), plan: None, band: Band::Low, warned_on: None };
        Self { row, history: History::default(), score: Score::default(), seen: Seen::default() }
    }

    pub(super) fn from_row(octets: &[u8]) -> Result<Self, StoreError> {
        let row: AgentRow = serde_json::from_slice(octets)
            .map_err(|_| StoreError::Corrupt("an agent's row does not decode".into()))?;
        Ok(Self { row, history: History::default(), score: Score::default(), seen: Seen::default() })
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

/// Applies one record to the agent it concerns, and says what has to be stored.
///
/// `entry` is `None` only for `agent.registered`. Risk histories are folded apart, by [`fold`].
pub(super) fn apply(
    entry: &mut Option<AgentEntry>,
    index: u64,
    record: &Record,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let control = match &record.body {
        Body::Event(act, _) => {
            if let Some(entry) = entry {
                remember(entry, record.time, act, changes);
            }
            return Ok(());
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
    changes.push(set(Kind::Agent, entry.row.agent.id.as_bytes().to_vec(), &entry.row)?);
    Ok(())
}

/// Folds one record into the agent's risk history, as it was folded when it was decided.
pub(super) fn fold(entry: &mut AgentEntry, record: &Record, model: &dyn RiskModel, prior: &Prior) {
    match &record.body {
        Body::Event(act, _) if act.score.is_some() => {
            let assessment = model.assess(&entry.history, prior, record.time, &act.facts);
            entry.history.record(record.time, &act.facts, &assessment);
            entry.score = assessment.score;
        }
        Body::Control(control) => {
            // A certificate after a revocation is somebody's decision to trust the agent again.
            if let Control::CertificateIssued { reinstates: true, .. } = &**control {
                entry.history = History::default();
                entry.score = Score::default();
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
    match control {
        Control::AgentRetired => row.agent.state = AgentState::Retired,
        Control::KeyPlanned { planned, .. } => {
            row.plan = Some(Plan { planned: Some(planned.clone()), key: None, facts: None });
        }
        Control::KeyBound { key, .. } => {
            let plan = row.plan.get_or_insert(Plan { planned: None, key: None, facts: None });
            plan.key.clone_from(key);
        }
        Control::KeyAbandoned { .. } => row.plan = None,
        Control::CertificatePlanned { facts, .. } => {
            row.plan.get_or_insert(Plan { planned: None, key: None, facts: None }).facts = Some(*facts);
        }
        Control::CertificateIssued { facts, certificate, reinstates } => {
            if *reinstates {
                row.band = Band::Low;
            }
            let key = row.plan.take().and_then(|p| p.key);
            row.certificates.push(CertificateState { facts: *facts, key, standing: Standing::Good });
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
            if revocation.cause != Cause::Abandoned {
                notify(NotificationKind::AgentRevoked, index, record, evidence.as_ref(), changes)?;
            }
        }
        Control::CertificateHeld(hold) => {
            stand(row, index, &hold.serial, (Standing::Held(*hold), KeyAction::Disable), changes)?;
            row.agent.state = AgentState::Suspended;
        }
        Control::CertificateReleased { .. } => {
            if let Some(serial) = record.serial {
                stand(row, index, &serial, (Standing::Good, KeyAction::Enable), changes)?;
            }
            row.agent.state = AgentState::Active;
        }
        Control::BandChanged { to, evidence, .. } => {
            let today = record.time.millis() / DAY;
            if *to == Band::Warning && row.warned_on != Some(today) {
                row.warned_on = Some(today);
                notify(NotificationKind::PreRevocationWarning, index, record, Some(evidence), changes)?;
            }
            row.band = *to;
        }
        Control::AgentRegistered(_)
        | Control::DeploymentCreated { .. }
        | Control::CaCreated { .. }
        | Control::TenantCreated { .. }
        | Control::CrlPublished { .. }
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
        row.certificates.push(CertificateState { facts, key, standing: Standing::Good });
    } else if row.agent.state != AgentState::Retired {
        row.agent.state = AgentState::Suspended;
    }
    stand(row, index, &revocation.serial, (Standing::Revoked(*revocation), KeyAction::Retire), changes)
}

fn stand(
    row: &mut AgentRow,
    index: u64,
    serial: &Serial,
    (standing, task): (Standing, KeyAction),
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let certificate = row.certificates.iter_mut().find(|c| c.facts.serial == *serial);
    let certificate = certificate
        .ok_or_else(|| StoreError::Corrupt("a record concerns a certificate that was never issued".into()))?;
    certificate.standing = standing;
    if let Some(key) = certificate.key.clone() {
        // By index: a later task of the same key is another row, and tasks are done in order.
        changes.push(set(Kind::Plan, index.to_be_bytes().to_vec(), &KeyTask { key, task })?);
    }
    Ok(())
}

fn notify(
    kind: NotificationKind,
    index: u64,
    record: &Record,
    evidence: Option<&Evidence>,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    if let Some(agent) = record.agent {
        let item =
            Notification { kind, agent, serial: record.serial, at: record.time, evidence: evidence.cloned() };
        changes.push(set(Kind::Inbox, index.to_be_bytes().to_vec(), &item)?);
    }
    Ok(())
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
