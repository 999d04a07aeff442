//! The same request once more, by whoever never got the answer: it is answered with the same certificate, and nothing
//! is recorded (ADR 19).

use crate::agent::AgentState;
use crate::error::StoreError;
use crate::issue::Certificate;
use crate::service::command::certify::Order;
use crate::service::command::repeat::REPEATABLE;
use crate::service::effects::running::Running;
use crate::service::engine::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::certificates::{Certificates, Standing};
use crate::x509::certificate::CertificateView;
use crate::x509::csr::Proven;

impl Running {
    /// The certificate that the same request was answered with, if its agent may still have it: with a renewal,
    /// the key before it has to say so again.
    pub(crate) async fn answered_before(
        &self,
        tenant: &Tenant,
        order: &Order,
        request: &Proven,
        binding: Option<&[u8]>,
    ) -> Result<Option<Certificate>, Error> {
        let found = {
            let sequencer = self.settled(tenant).await?;
            let (projection, now) = (&sequencer.projection, self.now());
            projection.agents.get(&order.agent).and_then(|entry| {
                let newest = projection.certificates.get(&entry.row.agent.certificate?)?;
                let fresh = now.since(newest.issued_at?) <= REPEATABLE && now <= newest.facts.not_after;
                let stands = entry.row.agent.state == AgentState::Active && newest.standing == Standing::Good;
                let same = newest.key_id == Some(request.key.key_id()) && order.was(entry, newest);
                (fresh && stands && same).then_some((newest.facts, newest.profile, newest.replaces))
            })
        };
        let Some((facts, profile, replaces)) = found else { return Ok(None) };
        if let Some(replaces) = replaces {
            let old = self.replaced(tenant, replaces, false).await?;
            if old.binding(request, binding).is_err() {
                return Ok(None);
            }
        }
        let der = self.stored_certificate(tenant, &facts.serial).await?;
        let view = CertificateView::parse(&der, &self.place.arc)
            .map_err(|_| StoreError::Corrupt("a stored certificate does not parse".into()))?;
        let same = view.spki == request.key.as_der();
        Ok(same.then_some(Certificate { facts, der, profile, key: None }))
    }

    /// Whether a call for the same key was dropped before it came to its end: the turn is this one's, so nobody is at it.
    pub(crate) async fn was_cut_off(
        &self,
        tenant: &Tenant,
        order: &Order,
        request: &Proven,
    ) -> Result<bool, Error> {
        let sequencer = self.settled(tenant).await?;
        let plan = sequencer.projection.agents.get(&order.agent).and_then(|entry| entry.row.plan.as_ref());
        Ok(plan.is_some_and(|plan| plan.key.is_none() && plan.key_id == Some(request.key.key_id())))
    }
}
