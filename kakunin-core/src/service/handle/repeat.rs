//! The same request once more, by whoever never got the answer: it is answered with the same certificate, and nothing
//! is recorded (ADR 19).

use crate::agent::AgentState;
use crate::error::StoreError;
use crate::issue::Certificate;
use crate::key::{KeyAlgorithm, Spki};
use crate::service::command::certify::Order;
use crate::service::command::repeat::REPEATABLE;
use crate::service::effects::running::Running;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::{CertificateState, Certificates, Standing};
use crate::service::state::folding::{Judging, standing_of};
use crate::service::state::own::InForce;
use crate::x509::certificate::CertificateView;
use crate::x509::csr::Proven;

impl Running {
    /// The certificate that the same request was answered with, if its agent may still have it: with a renewal,
    /// the key before it has to say so again.
    pub(crate) async fn answered_before(
        &self,
        tenant: &TenantLog,
        order: &Order,
        request: &Proven,
        binding: Option<&[u8]>,
    ) -> Result<Option<Certificate>, Error> {
        let theirs = |newest: &CertificateState| newest.key_id == Some(request.key.key_id());
        let Some(newest) = self.given_before(tenant, order, |_, newest| theirs(newest)).await? else {
            return Ok(None);
        };
        if let Some(replaces) = newest.replaces {
            let old = self.replaced(tenant, replaces, false).await?;
            if old.binding(request, binding).is_err() {
                return Ok(None);
            }
        }
        let (given, spki) = self.once_more(tenant, newest).await?;
        Ok((spki == request.key).then_some(given))
    }

    /// The same for a renewal with a key that the provider made: what tells it is the certificate that it renews, for how
    /// long, and with which algorithm.
    pub(crate) async fn made_before(
        &self,
        tenant: &TenantLog,
        order: &Order,
        algorithm: KeyAlgorithm,
    ) -> Result<Option<Certificate>, Error> {
        let Some((_, old)) = &order.renews else { return Ok(None) };
        let (policy, judging) = {
            let own = &self.committed(tenant).await?.own;
            (InForce::of(own, &self.settings.policy).policy, Judging::now(own, &self.models))
        };
        let same = |entry: &AgentEntry, newest: &CertificateState| {
            let (_, band) = standing_of(entry, judging, &policy, self.now());
            let profile = order.profile.min(policy.ceiling(band));
            newest.key.is_some() && newest.profile == profile && newest.replaces == Some(old.serial)
        };
        let Some(newest) = self.given_before(tenant, order, same).await? else { return Ok(None) };
        let (given, spki) = self.once_more(tenant, newest).await?;
        Ok((spki.algorithm() == algorithm).then_some(given))
    }

    /// An agent's newest certificate, if it was given lately for this order, and its agent may still have it.
    async fn given_before(
        &self,
        tenant: &TenantLog,
        order: &Order,
        same: impl Fn(&AgentEntry, &CertificateState) -> bool,
    ) -> Result<Option<CertificateState>, Error> {
        let committed = self.committed(tenant).await?;
        let (projection, now) = (&committed, self.now());
        Ok(projection.agents.get(&order.agent).and_then(|entry| {
            let newest = projection.certificates.get(&entry.row.agent.certificate?)?;
            let fresh = now.since(newest.issued_at?) <= REPEATABLE && now <= newest.facts.not_after;
            let stands = entry.row.agent.state == AgentState::Active && newest.standing == Standing::Good;
            (fresh && stands && order.was(entry, newest) && same(entry, newest)).then(|| newest.clone())
        }))
    }

    async fn once_more(
        &self,
        tenant: &TenantLog,
        given: CertificateState,
    ) -> Result<(Certificate, Spki), Error> {
        let CertificateState { facts, profile, key, .. } = given;
        let der = self.stored_certificate(tenant, &facts.serial).await?;
        let corrupt = || StoreError::Corrupt("a stored certificate does not parse".into());
        let view = CertificateView::parse(&der, &self.place.arc).map_err(|_| corrupt())?;
        let spki = Spki::from_der(view.spki).map_err(|_| corrupt())?;
        Ok((Certificate { facts, der, profile, key }, spki))
    }

    /// Whether a call for the same key was dropped before it came to its end: the turn is this one's, so nobody is at it.
    pub(crate) async fn was_cut_off(
        &self,
        tenant: &TenantLog,
        order: &Order,
        request: &Proven,
    ) -> Result<bool, Error> {
        let committed = self.committed(tenant).await?;
        let plan = committed.agents.get(&order.agent).and_then(|entry| entry.row.plan.as_ref());
        Ok(plan.is_some_and(|plan| plan.key.is_none() && plan.key_id == Some(request.key.key_id())))
    }
}
