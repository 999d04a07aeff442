//! One function applies a record to the state of its agent, whether it was just decided or is read back after a crash, so
//! that replay cannot come to another state than life did.

use super::agent::{AgentEntry, AgentRow, Former, Plan, Redeemed, itself};
use super::certificates::{CertificateState, Certificates, Standing};
use super::inbox::Item;
use super::key_task::{KeyTask, receipt_key, receipt_task, task};
use crate::agent::AgentState;
use crate::error::StoreError;
use crate::id::Serial;
use crate::issue::{Issued, Profile};
use crate::log::record::{Body, Control, KeyAction, Record, Renewal};
use crate::revoke::{Cause, Revocation, Said};
use crate::risk::Band;
use crate::service::limits::SELF_RENEWALS;
use crate::store::state::{Change, Kind};
use crate::time::DAY;

/// Applies one record to the agent it concerns, and says what has to be stored: `changes`, and whether the
/// agent's row too, which is written once however many records change it.
///
/// `entry` is `None` only for `agent.registered`. Risk histories are folded apart, by [`super::folding::fold`].
pub(crate) fn apply(
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
            if record.by.is_some() && record.by == itself(&row.agent.id) {
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

#[cfg(test)]
mod tests {
    use super::super::certificates::Issuances;
    use super::*;
    use crate::agent::{Agent, NewAgent};
    use crate::id::{AgentId, HaltId, IssuerId};
    use crate::revoke::Halt;
    use crate::time::UnixTime;

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
        let revocation = facts(1).revocation(halt.cause, NOW);
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
