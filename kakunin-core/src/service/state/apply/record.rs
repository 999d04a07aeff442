//! One function applies a record to the state of its agent, whether it was just decided or is read back after a crash, so
//! that replay cannot come to another state than life did.

use std::sync::Arc;

use super::step::Step;
use crate::agent::AgentState;
use crate::error::StoreError;
use crate::log::record::{Body, Control, Record};
use crate::month::Month;
use crate::policy::Verdict;
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::Certificates;
use crate::service::state::erasures::Erasure;
use crate::store::state::Change;

/// Applies one record to the agent it concerns, and says what has to be stored: `changes`, and whether the
/// agent's row too, which is written once however many records change it.
///
/// `entry` is `None` only for `agent.registered`. Risk histories are folded apart, by [`fold`](crate::service::state::folding::fold).
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
                entry.reach = entry.reach.max(index + 1);
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
    entry.reach = entry.reach.max(index + 1);
    let row = Arc::make_mut(&mut entry.row);
    let before = row.agent.state;
    row.agent.updated_at = record.time;
    if let Control::PayloadErased { from, to, .. } = &**control {
        let at = Month::of(record.time);
        row.erased.add(Erasure { record: index, from: *from, to: *to, at });
        entry.seen.forget_prints(&row.agent.id, changes);
    }
    apply_control(Step { row, certificates, index, record, changes }, control)?;
    let suspended = row.agent.state == AgentState::Suspended && before != AgentState::Suspended;
    if suspended || distrusts(control) {
        (row.void_before, row.redeemed) = (index + 1, None);
    }
    Ok(true)
}

/// Whether a record takes trust away, so that nothing begun before it may be concluded.
const fn distrusts(control: &Control) -> bool {
    match control {
        Control::AgentHalted { .. } | Control::AgentRetired | Control::CertificateHeld { .. } => true,
        Control::CertificateRevoked { revocation, .. } => revocation.cause.takes_trust(),
        Control::RiskVerdict(given) => matches!(given.verdict, Verdict::ConfirmCompromised),
        _ => false,
    }
}

/// One arm a kind.
fn apply_control(mut step: Step<'_, impl Certificates>, control: &Control) -> Result<(), StoreError> {
    match control {
        Control::AgentUpdated(spec) => step.row.agent.spec.clone_from(spec),
        Control::AgentRetired => (step.row.agent.state, step.row.braked) = (AgentState::Retired, None),
        Control::AgentHalted { halt, .. } => step.halted(halt)?,
        Control::HaltReceipt { halt, receipt } => step.receipt(halt, receipt)?,
        Control::AgentReinstated { .. } => step.reinstated(),
        Control::BandChanged { from, to, evidence } => step.band_changed(*from, *to, evidence)?,
        Control::RiskVerdict(given) => step.judged(given.verdict),
        Control::RiskShadowed(shadowed) => {
            (step.row.shadow, step.row.shadow_revokes) = (shadowed.to, shadowed.revokes);
        }
        Control::SelfRenewalRefused => step.renewal_refused()?,
        Control::PossessionMissing => step.possession_missing()?,
        Control::JoinTokenCreated(facts) => (step.row.join, step.row.redeemed) = (Some(*facts), None),
        Control::JoinTokenRedeemed { id } => step.redeemed(id),
        Control::JoinTokenVoided { .. } => step.row.join = None,
        Control::KeyPlanned { planned, .. } => step.key_planned(planned),
        Control::KeyBound { key, key_id, .. } => step.key_bound(key.as_ref(), *key_id),
        Control::KeyAbandoned { planned } => step.key_abandoned(planned)?,
        Control::KeyTaskDelayed { .. } => step.key_delayed()?,
        Control::KeyGranted { .. } => step.granted(true)?,
        Control::KeyGrantsVoided { key } => step.grants_voided(key)?,
        Control::CertificatePlanned { facts, profile } => step.planned(facts, *profile),
        Control::CertificateIssued { facts, certificate, reinstates, constraints, renewal } => {
            step.issued(facts, certificate, *reinstates, constraints.as_ref(), renewal.as_ref())?;
        }
        Control::CertificateRevoked { revocation, evidence, said } => {
            step.revoked(revocation, evidence.as_ref(), said)?;
        }
        Control::CertificateHeld { hold, said, braked } => step.held(hold, said, braked.as_ref())?,
        Control::CertificateReleased { .. } => step.released()?,
        Control::CertificateExpiring { not_after } => step.expiring(*not_after)?,
        Control::AgentRegistered(_)
        | Control::PayloadErased { .. }
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
        | Control::PolicyChanged(_)
        | Control::BreakerTripped(_)
        | Control::BreakerResolved(_)
        | Control::ApprovalRequested(_)
        | Control::ApprovalDecided(_)
        | Control::WebhookCreated(_)
        | Control::WebhookChanged(_)
        | Control::WebhookDeleted { .. }
        | Control::WebhookDisabled { .. }
        | Control::LogRecovered(_)
        | Control::RevocationChanged(_)
        | Control::StateSnapshot(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::{Agent, NewAgent};
    use crate::id::{AgentId, HaltId, IssuerId, Serial};
    use crate::issue::Issued;
    use crate::revoke::{Cause, Halt, Said};
    use crate::risk::Band;
    use crate::service::state::certificates::{Issuances, Standing};
    use crate::time::{DAY, UnixTime};

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
