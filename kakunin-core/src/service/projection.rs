//! What a tenant's log amounts to: its agents, their certificates, and what is planned.
//!
//! One function applies a record, whether it was just decided or is read back after a crash, so that
//! replay cannot come to another state than life did.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::certificates::{CertificateState, Certificates, Issuances, Standing};
use super::dedup::Seen;
use super::enrol;
use super::inbox::Item;
use super::names::Names;
use super::renewal::SELF_RENEWALS;
use super::tally::Tally;
use super::usage::Usage;
use crate::access::JoinTokenFacts;
use crate::agent::{Agent, AgentState};
use crate::error::StoreError;
use crate::id::{AgentId, HaltId, IssuerId, Serial};
use crate::issue::{Issued, Profile};
use crate::key::{KeyRef, PlannedKeyId};
pub(super) use crate::log::record::KeyAction;
use crate::log::record::{Body, Control, Record, Renewal};
use crate::revoke::{Cause, Halt, Receipt, Revocation, Said};
use crate::risk::{Band, History, Score};
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
    /// What its events amount to; in memory and snapshots, as the history.
    pub(super) tally: Arc<Tally>,
    pub(super) seen: Seen,
}

/// The part of an agent's entry that control records change, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct AgentRow {
    pub(super) agent: Agent,
    pub(super) plan: Option<Plan>,
    pub(super) band: Band,
    pub(super) halt: Option<Halt>,
    /// The receipt of the halt, once it is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) receipt: Option<Receipt>,
    /// What was begun before this index of the log is void: trust was taken away there.
    #[serde(default)]
    pub(super) void_before: u64,
    /// When it began to renew itself, since somebody else renewed it: as many as are allowed in an hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) self_renewals: Vec<UnixTime>,
    /// The day on which its owner was told that it renews itself too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_on: Option<u64>,
    /// The join token that may be redeemed.
    #[serde(default)]
    pub(super) join: Option<JoinTokenFacts>,
    /// The one that was, and for which key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) redeemed: Option<Redeemed>,
    /// The certificate before the newest, while it stands beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) former: Option<Former>,
    /// Index of the record in which somebody last decided to trust it again: what is done with a certificate from
    /// before does not count any more.
    #[serde(default)]
    pub(super) reinstated: u64,
    warned_on: Option<u64>,
    alerted_on: Option<u64>,
}

/// A join token that was redeemed: whoever never got the answer may send the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Redeemed {
    pub(super) facts: JoinTokenFacts,
    pub(super) key_id: Option<IssuerId>,
}

/// A certificate that was renewed and still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Former {
    pub(super) serial: Serial,
    /// When it is superseded, if the newest is not used before.
    pub(super) until: UnixTime,
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
    /// The stop whose receipt is to be signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) halt: Option<Halt>,
}

/// Agents of one tenant.
#[derive(Debug, Default)]
pub(super) struct Projection {
    pub(super) agents: HashMap<AgentId, AgentEntry>,
    pub(super) certificates: Issuances,
    pub(super) names: Names,
    /// When the certificate before an agent's newest is superseded.
    pub(super) graces: BTreeSet<(UnixTime, AgentId)>,
}

impl Projection {
    /// Takes an agent in as it is from now on.
    pub(super) fn put(&mut self, entry: AgentEntry) {
        let id = entry.row.agent.id;
        let old = self.agents.get(&id).map(|old| &old.row);
        let (was, is) = (old.and_then(|row| row.former), entry.row.former);
        if was != is {
            was.map(|former| self.graces.remove(&(former.until, id)));
            self.graces.extend(is.map(|former| (former.until, id)));
        }
        let before = old.map(|row| &row.agent);
        self.names.moved(before.map(|old| (&old.spec.name, old.state.into())), &entry);
        self.agents.insert(id, entry);
    }

    /// Looks once more for what [`Projection::put`] keeps, after a replay.
    pub(super) fn recount(&mut self) {
        let former = |(id, entry): (&AgentId, &AgentEntry)| Some((entry.row.former?.until, *id));
        self.graces = self.agents.iter().filter_map(former).collect();
    }
}

impl AgentRow {
    pub(super) fn decode(octets: &[u8]) -> Result<Self, StoreError> {
        serde_json::from_slice(octets)
            .map_err(|_| StoreError::Corrupt("an agent's row does not decode".into()))
    }

    /// Whether the owner was told today that it renews itself too often.
    pub(super) fn refused_today(&self, now: UnixTime) -> bool {
        self.refused_on == Some(now.millis() / DAY)
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
            plan: None,
            band: Band::Low,
            halt: None,
            receipt: None,
            void_before: 0,
            self_renewals: Vec::new(),
            refused_on: None,
            join: None,
            reinstated: 0,
            redeemed: None,
            former: None,
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
            tally: Arc::default(),
            seen: Seen::default(),
        }
    }

    pub(super) fn from_row(octets: &[u8]) -> Result<Self, StoreError> {
        AgentRow::decode(octets).map(Self::of)
    }
}

/// Applies one record to the agent it concerns, and says what has to be stored: `changes`, and whether the
/// agent's row too, which is written once however many records change it.
///
/// `entry` is `None` only for `agent.registered`. Risk histories are folded apart, by [`super::folding::fold`].
pub(super) fn apply(
    entry: &mut Option<AgentEntry>,
    certificates: &mut impl Certificates,
    index: u64,
    record: &Record,
    changes: &mut Vec<Change>,
) -> Result<bool, StoreError> {
    let control = match &record.body {
        Body::Event(act, event) => {
            if let Some(entry) = entry {
                let recorded = (index, &**act, event.as_deref());
                entry.seen.remember(&entry.row.agent.id, record.time, recorded, changes);
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
    let before = entry.row.agent.state;
    apply_control(entry, certificates, index, record, control, changes)?;
    let suspended = entry.row.agent.state == AgentState::Suspended && before != AgentState::Suspended;
    if suspended || distrusts(control) {
        entry.row.void_before = index + 1;
        entry.row.redeemed = None;
    }
    Ok(true)
}

impl AgentEntry {
    /// The agent's row, as it has to be stored.
    pub(super) fn change(&self) -> Result<Change, StoreError> {
        set(Kind::Agent, self.row.agent.id.as_bytes().to_vec(), &self.row)
    }
}

/// Whether a record takes trust away, so that nothing begun before it may be concluded.
const fn distrusts(control: &Control) -> bool {
    match control {
        Control::AgentHalted { .. } | Control::AgentRetired | Control::CertificateHeld { .. } => true,
        Control::CertificateRevoked { revocation, .. } => {
            !matches!(revocation.cause, Cause::Abandoned | Cause::Superseded)
        }
        _ => false,
    }
}

fn apply_control(
    entry: &mut AgentEntry,
    certificates: &mut impl Certificates,
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
            (row.halt, row.receipt) = (Some(*halt), None);
            row.agent.state = AgentState::Suspended;
            if let Some(mut state) = halt.serial.and_then(|serial| certificates.get(&serial).cloned()) {
                (state.halt, state.receipt) = (Some(*halt), None);
                store(certificates, state, changes)?;
            }
            changes.push(Item::about(record, index).halted(halt).change()?);
            changes.push(receipt_task(row.agent.id, *halt)?);
        }
        Control::HaltReceipt { halt, receipt } => {
            if row.halt.is_some_and(|first| first.id == *halt) {
                row.receipt = Some(receipt.clone());
            }
            if let Some(mut state) = record.serial.and_then(|serial| certificates.get(&serial).cloned()) {
                state.receipt = Some(receipt.clone());
                store(certificates, state, changes)?;
            }
            changes.push(Change { kind: Kind::Plan, key: receipt_key(halt), value: None });
        }
        Control::AgentReinstated { .. } => {
            row.agent.state = AgentState::Pending;
            (row.halt, row.receipt, row.band, row.join) = (None, None, Band::Low, None);
            row.reinstated = index;
            row.self_renewals.clear();
        }
        Control::SelfRenewalRefused => {
            row.refused_on = Some(record.time.millis() / DAY);
            changes.push(Item::about(record, index).renewal_refused().change()?);
        }
        Control::PossessionMissing => {
            row.alerted_on = Some(record.time.millis() / DAY);
            changes.push(Item::about(record, index).impersonated().change()?);
        }
        Control::JoinTokenCreated(facts) => (row.join, row.redeemed) = (Some(*facts), None),
        Control::JoinTokenRedeemed { id } => {
            if let Some(facts) = row.join.take().filter(|facts| facts.id == *id) {
                row.redeemed = Some(Redeemed { facts, key_id: None });
            }
        }
        Control::JoinTokenVoided { .. } => row.join = None,
        Control::KeyPlanned { planned, .. } => {
            row.plan = Some(Plan { planned: Some(planned.clone()), ..Plan::default() });
        }
        Control::KeyBound { key, key_id, .. } => {
            let plan = row.plan.get_or_insert_default();
            plan.key.clone_from(key);
            plan.key_id = Some(*key_id);
            // It follows in the append in which the token is redeemed.
            if let Some(redeemed) = &mut row.redeemed {
                redeemed.key_id.get_or_insert(*key_id);
            }
        }
        Control::KeyAbandoned { planned } => {
            row.plan = None;
            changes.push(task(row.agent.id, index, record.serial, KeyTask::sweep(planned))?);
        }
        Control::KeyTaskDelayed { .. } => changes.push(Item::about(record, index).key_delayed().change()?),
        Control::CertificatePlanned { facts, profile } => {
            // Whether it is signed or not: its serial goes on CRLs either way.
            if record.by.is_some() && record.by == enrol::itself(&row.agent.id) {
                row.self_renewals.push(facts.issued_at(record.time));
                let surplus = row.self_renewals.len().saturating_sub(SELF_RENEWALS);
                row.self_renewals.drain(..surplus);
            }
            row.plan.get_or_insert_default().facts = Some((*facts, *profile));
        }
        Control::KeyGranted { .. } => granted(certificates, record, true, changes)?,
        Control::KeyGrantsVoided { key } => {
            granted(certificates, record, false, changes)?;
            changes.push(task(row.agent.id, index, record.serial, (key.clone(), KeyAction::Ungrant))?);
        }
        Control::CertificateIssued { facts, certificate, reinstates, constraints, renewal } => {
            if *reinstates {
                (row.band, row.halt, row.receipt) = (Band::Low, None, None);
                row.reinstated = index;
            }
            if renewal.as_ref().is_some_and(Renewal::is_approved) {
                row.self_renewals.clear();
            }
            let former = |r: &Renewal| r.until.map(|until| Former { serial: r.replaces, until });
            row.former = renewal.as_ref().and_then(former);
            let plan = row.plan.take().unwrap_or_default();
            let state = CertificateState {
                facts: *facts,
                profile: plan.facts.map_or_else(Profile::default, |(_, profile)| profile),
                key: plan.key,
                key_id: plan.key_id,
                constraints: constraints.clone(),
                standing: Standing::Good,
                said: Said::default(),
                index,
                issued_at: Some(facts.issued_at(record.time)),
                granted: false,
                replaces: renewal.as_ref().map(|renewal| renewal.replaces),
                halt: None,
                receipt: None,
            };
            changes.push(state.listed());
            store(certificates, state, changes)?;
            row.agent.state = AgentState::Active;
            row.agent.certificate = Some(facts.serial);
            changes.push(Change {
                kind: Kind::Certificate,
                key: facts.serial.as_bytes().to_vec(),
                value: Some(certificate.as_bytes().to_vec()),
            });
        }
        Control::CertificateRevoked { revocation, evidence, said } => {
            // What takes it away from beside the newest takes that too, and is told of once.
            let former = row.former.take_if(|former| former.serial == revocation.serial).is_some();
            revoke(row, certificates, index, (revocation, said), changes)?;
            let told = former || row.halt.is_some_and(|halt| halt.serial == Some(revocation.serial));
            if !told && !matches!(revocation.cause, Cause::Abandoned | Cause::Superseded) {
                let item = Item::about(record, index).revoked(revocation.cause, evidence.clone());
                changes.push(item.change()?);
            }
        }
        Control::CertificateHeld { hold, said } => {
            let standing = (Standing::Held(*hold), said.clone(), KeyAction::Disable);
            stand(certificates, index, &hold.serial, standing, changes)?;
            // An older certificate says nothing of the agent.
            if row.agent.certificate == Some(hold.serial) {
                row.agent.state = AgentState::Suspended;
            }
        }
        Control::CertificateReleased { .. } => {
            if let Some(serial) = record.serial {
                let standing = (Standing::Good, Said::default(), KeyAction::Enable);
                stand(certificates, index, &serial, standing, changes)?;
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
        | Control::ApiKeyCreated(_)
        | Control::ApiKeyRevoked { .. }
        | Control::CaEnding { .. }
        | Control::RevocationChanged(_) => {}
    }
    Ok(())
}

fn revoke(
    row: &mut AgentRow,
    certificates: &mut impl Certificates,
    index: u64,
    (revocation, said): (&Revocation, &Said),
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
        let state = CertificateState {
            facts,
            profile: Profile::default(),
            key,
            key_id: None,
            constraints: None,
            standing: Standing::Good,
            said: Said::default(),
            index,
            issued_at: None,
            granted: false,
            replaces: None,
            halt: None,
            receipt: None,
        };
        changes.push(state.listed());
        certificates.put(state);
    } else if row.agent.state != AgentState::Retired && row.agent.certificate == Some(revocation.serial) {
        // An older one, superseded by renewal, takes nothing away from its agent.
        row.agent.state = AgentState::Suspended;
    }
    let standing = (Standing::Revoked(*revocation), said.clone(), KeyAction::Retire);
    stand(certificates, index, &revocation.serial, standing, changes)
}

fn stand(
    certificates: &mut impl Certificates,
    index: u64,
    serial: &Serial,
    (standing, said, action): (Standing, Said, KeyAction),
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let mut state = certificates
        .get(serial)
        .cloned()
        .ok_or_else(|| StoreError::Corrupt("a record concerns a certificate that was never issued".into()))?;
    (state.standing, state.said) = (standing, said);
    if let Some(key) = state.key.clone() {
        changes.push(task(state.facts.agent, index, Some(*serial), (key, action))?);
    }
    store(certificates, state, changes)
}

fn granted(
    certificates: &mut impl Certificates,
    record: &Record,
    granted: bool,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    match record.serial.and_then(|serial| certificates.get(&serial).cloned()) {
        Some(state) => store(certificates, CertificateState { granted, ..state }, changes),
        None => Ok(()),
    }
}

fn store(
    certificates: &mut impl Certificates,
    state: CertificateState,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    changes.push(state.change()?);
    certificates.put(state);
    Ok(())
}

fn task(
    agent: AgentId,
    index: u64,
    serial: Option<Serial>,
    (key, task): (KeyRef, KeyAction),
) -> Result<Change, StoreError> {
    let task = KeyTask { key, task, agent, serial, told: false, halt: None };
    // By index: a later task of the same key is another row, and tasks are done in order.
    set(Kind::Plan, index.to_be_bytes().to_vec(), &task)
}

/// The task of signing the receipt of a stop.
pub(super) fn receipt_task(agent: AgentId, halt: Halt) -> Result<Change, StoreError> {
    let (key, task) = (KeyRef::new(format!("halt/{}", halt.id)), KeyAction::Receipt);
    let task = KeyTask { key, task, agent, serial: halt.serial, told: false, halt: Some(halt) };
    set(Kind::Plan, receipt_key(&halt.id), &task)
}

/// By the stop: its receipt takes the task away.
fn receipt_key(halt: &HaltId) -> Vec<u8> {
    halt.as_bytes().to_vec()
}

/// A change that sets `value` as JSON.
pub(super) fn set(kind: Kind, key: Vec<u8>, value: &impl serde::Serialize) -> Result<Change, StoreError> {
    let octets = serde_json::to_vec(value).map_err(StoreError::unavailable)?;
    Ok(Change { kind, key, value: Some(octets) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::NewAgent;
    use crate::id::HaltId;

    const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

    /// What an older version wrote: a certificate that made a halted agent active again, by itself.
    #[test]
    fn an_older_log_comes_to_the_state_that_it_came_to_then() {
        let model = format!("sha256:{:064}", 0);
        let spec = NewAgent::new("one", &model, ["read:accounts"]).unwrap();
        let id = AgentId::from_bytes([7; 16]);
        let agent = Agent::register(id, "acme".parse().unwrap(), spec, NOW).unwrap();
        let facts = |n: u8| Issued {
            serial: Serial::from_bytes([n; 16]).unwrap(),
            agent: id,
            issuer: IssuerId::from_bytes([1; 20]),
            not_before: NOW,
            not_after: NOW.plus(DAY),
            shard: 0,
        };
        let issued = |n, reinstates| Control::CertificateIssued {
            facts: facts(n),
            certificate: String::new(),
            reinstates,
            constraints: None,
            renewal: None,
        };
        let halt = Halt {
            id: HaltId::from_bytes([3; 16]),
            cause: Cause::KillSwitchActivated,
            serial: Some(facts(1).serial),
            at: NOW,
        };
        let revocation = super::super::draft::revocation(&facts(1), halt.cause, NOW);
        let log = [
            (None, Control::AgentRegistered(agent)),
            (Some(1), issued(1, false)),
            (Some(1), Control::AgentHalted { halt, said: Said::default() }),
            (Some(1), Control::CertificateRevoked { revocation, evidence: None, said: Said::default() }),
            (Some(2), issued(2, true)),
        ];
        let (mut entry, mut certificates, mut changes) = (None, Issuances::default(), Vec::new());
        for (index, (serial, control)) in (0..).zip(log) {
            let serial = serial.map(|n| facts(n).serial);
            let record = Record::control(NOW, Some(id), serial, control);
            apply(&mut entry, &mut certificates, index, &record, &mut changes).unwrap();
        }
        let row = &entry.as_ref().unwrap().row;
        assert_eq!((row.agent.state, row.halt, row.band), (AgentState::Active, None, Band::Low));
        assert_eq!((row.agent.certificate, row.reinstated), (Some(facts(2).serial), 4));
        let standing = certificates.standing(entry.as_ref().unwrap(), NOW).unwrap();
        assert_eq!((standing.facts, standing.standing), (facts(2), Standing::Good));
    }
}
