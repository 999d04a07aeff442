//! All that a tenant's log says of the tenant itself.

use super::approvals::Approvals;
use super::breaker::Breaker;
use super::policies::Policies;
use super::webhooks::Webhooks;
use crate::error::StoreError;
use crate::log::record::{Body, Control, Record};
use crate::risk::ModelId;
use crate::store::state::{Change, Kind};

/// The tables of its rows.
pub(crate) const TABLES: [Kind; 4] = [Kind::Policy, Kind::Breaker, Kind::Approval, Kind::Webhook];

/// What a tenant's log says of the tenant itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) policies: Policies,
    pub(crate) breaker: Breaker,
    pub(crate) approvals: Approvals,
    pub(crate) webhooks: Webhooks,
}

impl Own {
    /// Of a tenant that was made with this model, if its record names one, before its first record.
    pub(crate) fn of(model: Option<ModelId>) -> Self {
        let mut own = Self::default();
        model.into_iter().for_each(|model| own.policies.begin_with(model));
        own
    }

    /// Whether a record may change any of it: those that are about no agent, and identities that were lost automatically.
    pub(crate) fn concerns(record: &Record) -> bool {
        let Body::Control(control) = &record.body else { return false };
        record.agent.is_none() || matches!(&**control, Control::CertificateRevoked { evidence: Some(_), .. })
    }

    /// Applies a record, and says which rows change.
    pub(crate) fn apply(
        &mut self,
        index: u64,
        record: &Record,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let Body::Control(control) = &record.body else { return Ok(()) };
        match &**control {
            Control::PolicyChanged(change) => changes.push(self.policies.changed(index, &change.after)?),
            Control::BreakerTripped(tripped) => changes.push(self.breaker.tripped(index, tripped)?),
            Control::BreakerResolved(_) => changes.push(self.breaker.resolved()?),
            Control::CertificateRevoked { evidence: Some(evidence), .. } => {
                changes.push(self.breaker.lost(record.time, evidence.event)?);
            }
            Control::ApprovalRequested(request) => {
                changes.push(self.approvals.requested(record, request)?);
            }
            Control::ApprovalDecided(approval) => changes.push(self.approvals.decided(&approval.id)),
            Control::WebhookCreated(facts) | Control::WebhookChanged(facts) => {
                changes.push(self.webhooks.is(index, facts)?);
            }
            Control::WebhookDeleted { id } => changes.push(self.webhooks.deleted(id)),
            Control::WebhookDisabled { id, why } => changes.extend(self.webhooks.disabled(id, *why)?),
            _ => {}
        }
        Ok(())
    }

    /// Takes a row in.
    pub(crate) fn load(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> Option<()> {
        match kind {
            Kind::Policy => self.policies.load(key, value),
            Kind::Breaker => self.breaker.load(value),
            Kind::Approval => self.approvals.load(value),
            Kind::Webhook => self.webhooks.load(value),
            _ => None,
        }
    }

    /// The row of this key as it must be, if it is there.
    pub(crate) fn row(&self, kind: Kind, key: &[u8]) -> Result<Option<Change>, StoreError> {
        match kind {
            Kind::Policy => self.policies.row(key),
            Kind::Breaker => self.breaker.row().map(|row| Some(row).filter(|row| row.key == key)),
            Kind::Approval => self.approvals.row(key),
            Kind::Webhook => self.webhooks.row(key),
            _ => Ok(None),
        }
    }
}
