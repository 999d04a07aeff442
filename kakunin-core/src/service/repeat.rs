//! The same request once more, by whoever never got the answer: it is answered with the same certificate, and nothing
//! is recorded (ADR 19). What it is told by is on record: for which key, by which token, in place of what.

use super::Inner;
use super::certificates::{CertificateState, Certificates, Standing};
use super::certify::Order;
use super::error::Error;
use super::projection::AgentEntry;
use super::renewal::longest;
use super::tenant::Tenant;
use crate::agent::AgentState;
use crate::error::StoreError;
use crate::id::Serial;
use crate::issue::Certificate;
use crate::key::{KeyAlgorithm, Spki};
use crate::time::MINUTE;
use crate::x509::certificate::CertificateView;
use crate::x509::csr::Proven;

/// For how long the same request for a certificate gets the same answer, in milliseconds of the log's time.
pub const REPEATABLE: u64 = 10 * MINUTE;

/// Whether this refusal is what a request gets that was fulfilled before.
pub(super) const fn may_follow(refused: &Error) -> bool {
    matches!(refused, Error::Agent(_) | Error::Exists(_) | Error::Csr(_) | Error::JoinToken)
}

impl Inner {
    /// The certificate that the same request was answered with, if its agent may still have it: with a renewal,
    /// the key before it has to say so again.
    pub(super) async fn answered_before(
        &self,
        order: &Order,
        request: &Proven,
        binding: Option<&[u8]>,
    ) -> Result<Option<Certificate>, Error> {
        let theirs = |newest: &CertificateState| newest.key_id == Some(request.key.key_id());
        let Some(newest) = self.given_before(order, |_, newest| theirs(newest)).await? else {
            return Ok(None);
        };
        if let Some(replaces) = newest.replaces {
            let old = self.replaced(&order.tenant, replaces, false).await?;
            if old.binding(request, binding).is_err() {
                return Ok(None);
            }
        }
        let (given, spki) = self.once_more(&order.tenant, newest).await?;
        Ok((spki == request.key).then_some(given))
    }

    /// The same for a renewal with a key that the provider made: what tells it is the certificate that it renews, for how
    /// long, and with which algorithm.
    pub(super) async fn made_before(
        &self,
        order: &Order,
        algorithm: KeyAlgorithm,
    ) -> Result<Option<Certificate>, Error> {
        let Some((_, old)) = &order.renews else { return Ok(None) };
        let same = |entry: &AgentEntry, newest: &CertificateState| {
            let profile = order.profile.min(longest(entry.row.band));
            newest.key.is_some() && newest.profile == profile && newest.replaces == Some(old.serial)
        };
        let Some(newest) = self.given_before(order, same).await? else { return Ok(None) };
        let (given, spki) = self.once_more(&order.tenant, newest).await?;
        Ok((spki.algorithm() == algorithm).then_some(given))
    }

    /// An agent's newest certificate, if it was given lately for this order, and its agent may still have it.
    async fn given_before(
        &self,
        order: &Order,
        same: impl Fn(&AgentEntry, &CertificateState) -> bool,
    ) -> Result<Option<CertificateState>, Error> {
        let sequencer = self.settled(&order.tenant).await?;
        let (projection, now) = (&sequencer.projection, sequencer.ledger.time(self.now()));
        Ok(projection.agents.get(&order.agent).and_then(|entry| {
            let newest = projection.certificates.get(&entry.row.agent.certificate?)?;
            let fresh = now.since(newest.issued_at?) <= REPEATABLE && now <= newest.facts.not_after;
            let stands = entry.row.agent.state == AgentState::Active && newest.standing == Standing::Good;
            (fresh && stands && order.was(entry, newest) && same(entry, newest)).then(|| newest.clone())
        }))
    }

    async fn once_more(
        &self,
        tenant: &Tenant,
        given: CertificateState,
    ) -> Result<(Certificate, Spki), Error> {
        let CertificateState { facts, profile, key, .. } = given;
        let der = self.stored_certificate(tenant, &facts.serial).await?;
        let corrupt = || StoreError::Corrupt("a stored certificate does not parse".into());
        let view = CertificateView::parse(&der, &self.place.arc).map_err(|_| corrupt())?;
        let spki = Spki::from_der(view.spki).map_err(|_| corrupt())?;
        Ok((Certificate { facts, der, profile, key }, spki))
    }
}

impl Inner {
    /// Whether a call for the same key was dropped before it came to its end: the turn is this one's, so nobody is at it.
    pub(super) async fn was_cut_off(&self, order: &Order, request: &Proven) -> Result<bool, Error> {
        let sequencer = self.settled(&order.tenant).await?;
        let plan = sequencer.projection.agents.get(&order.agent).and_then(|entry| entry.row.plan.as_ref());
        Ok(plan.is_some_and(|plan| plan.key.is_none() && plan.key_id == Some(request.key.key_id())))
    }
}

impl Order {
    /// Whether an agent's newest certificate is what this was ordered for.
    fn was(&self, entry: &AgentEntry, newest: &CertificateState) -> bool {
        let redeemed = entry.row.redeemed.filter(|redeemed| redeemed.key_id == newest.key_id);
        match (&self.renews, self.join) {
            (Some((attested, old)), _) => {
                // Whoever orders for an agent says which agent, not which certificate.
                let named = |replaces: Serial| old.approves || old.serial == replaces;
                *attested == entry.row.agent.spec.model_hash && newest.replaces.is_some_and(named)
            }
            (None, Some(id)) => redeemed.is_some_and(|redeemed| redeemed.facts.id == id),
            (None, None) => redeemed.is_none() && newest.replaces.is_none() && newest.profile == self.profile,
        }
    }
}
