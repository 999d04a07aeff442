//! The verifier: anchors, known issuers, a revocation view and a policy.

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kakunin_core::crypto::Backend;
use kakunin_core::id::{IssuerId, TenantId};
use kakunin_core::key::Spki;
use kakunin_core::time::UnixTime;
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid;

use crate::agent::{Authorized, VerifiedAgent};
use crate::anchor::{SetupError, TrustAnchor};
use crate::cache::Cache;
use crate::checker::Checker;
use crate::denied::{Code, Denied};
use crate::issuer::Issuer;
use crate::policy::Policy;
use crate::revocation::RevocationView;
use crate::trust::Trust;

/// Checks agents. Clones share everything, and any number of threads may use one at once.
#[derive(Clone)]
pub struct Verifier(Arc<Checker>);

/// Sets a [`Verifier`] up.
#[derive(Debug)]
pub struct VerifierBuilder {
    trust: Trust,
    issuers: Vec<Vec<u8>>,
    bound: Vec<(usize, TenantId)>,
    revocations: Box<dyn RevocationView>,
    policy: Policy,
    cache: usize,
}

const DEFAULT_CACHE: usize = 16 * 1024;

impl Verifier {
    /// Begins to set up a verifier that looks revocations up in `revocations`.
    #[must_use]
    pub fn builder(revocations: impl RevocationView + 'static) -> VerifierBuilder {
        VerifierBuilder {
            trust: Trust {
                anchors: Vec::new(),
                bindings: HashMap::new(),
                arc: oid::Arc::default(),
                backend: Backend::fastest(),
            },
            issuers: Vec::new(),
            bound: Vec::new(),
            revocations: Box::new(revocations),
            policy: Policy::strict(),
            cache: DEFAULT_CACHE,
        }
    }

    /// Accepts a certificate chain, leaf first, each certificate in DER. Certificates beside the leaf are
    /// needed only until its issuer is known.
    ///
    /// # Errors
    /// [`Denied`] says which rule the chain breaks.
    pub fn verify<C: AsRef<[u8]>>(&self, chain: &[C], now: UnixTime) -> Result<VerifiedAgent, Denied> {
        let leaf = self.0.leaf(chain, now)?;
        self.0.check_standing(&leaf, now)?;
        Ok(VerifiedAgent::new(leaf, self.0.clone()))
    }

    /// Whose certificate chain this is, standing or not: [`VerifiedAgent::authorize`] and
    /// [`VerifiedAgent::recheck`] say whether it still does.
    ///
    /// # Errors
    /// As [`Verifier::verify`], except for what revocation and the issuer's standing would say.
    pub fn identify<C: AsRef<[u8]>>(&self, chain: &[C], now: UnixTime) -> Result<VerifiedAgent, Denied> {
        Ok(VerifiedAgent::new(self.0.leaf(chain, now)?, self.0.clone()))
    }

    /// Accepts a chain and allows one action: the whole check of one request.
    ///
    /// # Errors
    /// As [`Verifier::verify`] and [`VerifiedAgent::authorize`].
    pub fn check<C: AsRef<[u8]>>(
        &self,
        chain: &[C],
        action: &str,
        now: UnixTime,
    ) -> Result<Authorized, Denied> {
        self.verify(chain, now)?.permit(action)
    }

    /// The policy, so that the host can log its opt-outs.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// The issuers known so far.
    #[must_use]
    pub fn issuers(&self) -> Vec<IssuerId> {
        self.0.issuers.load().keys().copied().collect()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.0.issuers.load().len();
        write!(f, "Verifier({} anchors, {issuers} issuers)", self.0.trust.anchors.len())
    }
}

impl VerifierBuilder {
    /// Trusts one more root.
    #[must_use]
    pub fn anchor(mut self, anchor: TrustAnchor) -> Self {
        self.trust.anchors.push(anchor);
        self
    }

    /// Loads one more certificate authority under the anchors, so that leaves may come without it.
    #[must_use]
    pub fn issuer(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.issuers.push(der.into());
        self
    }

    /// As [`VerifierBuilder::issuer`], for an authority that certifies agents of `tenant` alone: what it issued for
    /// another is refused, whoever presents its certificate. An authority whose certificate names its tenant is
    /// bound without being loaded.
    #[must_use]
    pub fn issuer_of(mut self, der: impl Into<Vec<u8>>, tenant: TenantId) -> Self {
        self.bound.push((self.issuers.len(), tenant));
        self.issuer(der)
    }

    /// Replaces the strict policy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The arc under which the agent extensions stand, if it is not the documentation arc.
    #[must_use]
    pub fn arc(mut self, arc: oid::Arc) -> Self {
        self.trust.arc = arc;
        self
    }

    /// Which implementation checks signatures, if not the fastest.
    #[must_use]
    pub const fn backend(mut self, backend: Backend) -> Self {
        self.trust.backend = backend;
        self
    }

    /// How many accepted certificates are remembered, if not 16,384 (about 2 kB each); 0 for none.
    #[must_use]
    pub const fn cache_capacity(mut self, leaves: usize) -> Self {
        self.cache = leaves;
        self
    }

    /// Validates the loaded issuers at `now`.
    ///
    /// # Errors
    /// [`SetupError`] if there is no anchor, two contradict each other, or an issuer is not acceptable or bound
    /// to two tenants.
    pub fn build(mut self, now: UnixTime) -> Result<Verifier, SetupError> {
        self.bind()?;
        let anchors = &self.trust.anchors;
        if anchors.is_empty() {
            return Err(SetupError::NoAnchor);
        }
        let clash = |a: &&TrustAnchor| anchors.iter().any(|b| a.same_key(b) && a.domain() != b.domain());
        if let Some(twice) = anchors.iter().find(clash) {
            return Err(SetupError::AnchorTwice(twice.domain().clone()));
        }
        let all: Vec<&[u8]> = self.issuers.iter().map(Vec::as_slice).collect();
        let mut issuers = HashMap::new();
        for (i, der) in all.iter().enumerate() {
            let issuer =
                Issuer::validate(&self.trust, der, &all, now).map_err(|e| SetupError::Issuer(i, e))?;
            issuers.insert(issuer.id, Arc::new(issuer));
        }
        Ok(Verifier(Arc::new(Checker {
            trust: self.trust,
            issuers: ArcSwap::from_pointee(issuers),
            revocations: self.revocations,
            policy: self.policy,
            cache: Cache::new(self.cache),
        })))
    }
}

impl VerifierBuilder {
    /// Whom the loaded issuers are bound to, by their keys: so they are however they come.
    fn bind(&mut self) -> Result<(), SetupError> {
        for (at, tenant) in &self.bound {
            let invalid = |detail| SetupError::Issuer(*at, Denied::about(Code::IssuerInvalid, detail));
            let der = self.issuers.get(*at).map(Vec::as_slice).unwrap_or_default();
            let view =
                CertificateView::parse(der, &self.trust.arc).map_err(|_| invalid("not a DER certificate"))?;
            let key = Spki::from_der(view.spki).map_err(|_| invalid("key"))?.key_id();
            if self.trust.bindings.insert(key, tenant.clone()).is_some_and(|other| other != *tenant) {
                return Err(invalid("tenant: bound to two"));
            }
        }
        Ok(())
    }
}
