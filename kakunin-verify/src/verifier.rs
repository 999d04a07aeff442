//! The verifier: anchors, known issuers, a revocation view and a policy.

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use kakunin_core::crypto::Backend;
use kakunin_core::id::{IssuerId, TenantId};
use kakunin_core::key::Spki;
use kakunin_core::scope::ToAction;
use kakunin_core::time::UnixTime;
use kakunin_core::trust::TrustSource;
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid;

use crate::agent::{Authorized, VerifiedAgent};
use crate::anchor::{SetupError, TrustAnchor};
use crate::cache::Cache;
use crate::checker::Checker;
use crate::denied::{Code, Denied};
use crate::following::Following;
use crate::issuer::Issuer;
use crate::known::Known;
use crate::policy::Policy;
use crate::revocation::RevocationView;
use crate::trust::Trust;

/// Checks agents. Clones share everything, and any number of threads may use one at once.
///
/// Beside the deployment that issues, it follows it:
///
/// ```
/// # pollster::block_on(async {
/// # use kakunin_core::prelude::*;
/// # use kakunin_kms::local::LocalKeys;
/// # use std::sync::Arc;
/// #
/// # let mut config = Config::new("agents.example")?;
/// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
/// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
/// # let kakunin = Kakunin::open(config, parts).await?;
/// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
/// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
/// # let agent = acme.register(spec).await?;
/// # let key = KeySource::Provider(KeyAlgorithm::P256);
/// # let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
/// use kakunin_verify::Verifier;
///
/// let verifier = Verifier::following(kakunin.clone()).build(SystemClock.now())?;
/// let me = verifier.verify(&[&issued.der], SystemClock.now())?;
/// assert_eq!(me.agent(), &agent.id);
/// // What the next issuing CA certifies is accepted as well, and what is revoked is refused at once.
/// kakunin.rotate_issuing(None).await?;
/// acme.revoke(&issued.facts.serial, Cause::KeyCompromise).await?;
/// assert_eq!(verifier.verify(&[&issued.der], SystemClock.now()).unwrap_err().code(), "agent_revoked");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// Elsewhere it is given the root, and whoever follows the revocation feed keeps a
/// [`RevocationHandle`](crate::RevocationHandle) current. Nothing is fetched by a check:
///
/// ```
/// # pollster::block_on(async {
/// # use kakunin_core::prelude::*;
/// # use kakunin_kms::local::LocalKeys;
/// # use std::sync::Arc;
/// #
/// # let mut config = Config::new("agents.example")?;
/// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
/// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
/// # let kakunin = Kakunin::open(config, parts).await?;
/// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
/// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
/// # let agent = acme.register(spec).await?;
/// # let key = KeySource::Provider(KeyAlgorithm::P256);
/// # let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
/// use kakunin_core::revoke::RevokedSet;
/// use kakunin_verify::{RevocationHandle, Snapshot, TrustAnchor, Verifier};
///
/// let now = SystemClock.now();
/// let (root, issuing) = (kakunin.root().as_der().to_vec(), kakunin.issuer().as_der().to_vec());
/// let revocations = RevocationHandle::default();
/// let anchor = TrustAnchor::new(&root, "agents.example".parse()?)?;
/// let verifier = Verifier::builder(revocations.clone()).anchor(anchor).issuer(issuing).build(now)?;
/// // Before anything is known of revocations, nobody is let in.
/// assert_eq!(verifier.verify(&[&issued.der], now).unwrap_err().code(), "revocation_unknown");
/// revocations.publish(Snapshot::new(now).with(issued.facts.issuer, RevokedSet::default()));
/// assert!(verifier.verify(&[&issued.der], now).is_ok());
/// // And 20 s after the feed fell silent, nobody is any more.
/// assert_eq!(verifier.verify(&[&issued.der], now.plus(21_000)).unwrap_err().code(), "verify_unavailable");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Verifier(Arc<Checker>);

/// Sets a [`Verifier`] up.
#[derive(Debug)]
pub struct VerifierBuilder {
    trust: Trust,
    issuers: Vec<Vec<u8>>,
    bound: Vec<(usize, TenantId)>,
    revocations: Box<dyn RevocationView>,
    following: Option<Following>,
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
            following: None,
            policy: Policy::strict(),
            cache: DEFAULT_CACHE,
        }
    }

    /// Begins to set up a verifier for a deployment that is open in this process, such as a `Kakunin`. It knows the
    /// deployment's roots, issuing CAs, their tenants, the extension arc and every revocation, also those to come: it
    /// looks for new authorities whenever it meets an issuer that it does not know. It keeps the deployment open.
    #[must_use]
    pub fn following(source: impl TrustSource + 'static) -> VerifierBuilder {
        let builder = Self::builder(source.revocations()).arc(source.trust().arc);
        VerifierBuilder { following: Some(Following::new(Box::new(source))), ..builder }
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
    pub fn check<C: AsRef<[u8]>, A: ToAction + ?Sized>(
        &self,
        chain: &[C],
        action: &A,
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
        self.0.known.ids()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let issuers = self.issuers().len();
        write!(f, "Verifier({} anchors, {issuers} issuers)", self.0.known.trust.load().anchors.len())
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

    /// Calls `tell` of each issuing CA of a followed deployment that cannot be relied on, once, with the reason: agents
    /// of it are refused, and it is looked at again when one comes.
    #[must_use]
    pub fn on_left_out(mut self, tell: impl Fn(&IssuerId, &Denied) + Send + Sync + 'static) -> Self {
        if let Some(following) = &mut self.following {
            following.tell = Some(Box::new(tell));
        }
        self
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

    /// How many accepted certificates are remembered, if not 16,384 (about 2 kB each), from the second time that they come;
    /// 0 for none.
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
        if anchors.is_empty() && self.following.is_none() {
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
        let checker = Checker {
            known: Known::new(self.trust, issuers),
            following: self.following,
            revocations: self.revocations,
            policy: self.policy,
            cache: Cache::new(self.cache),
        };
        if let Some(following) = &checker.following {
            following.catch_up(&checker.known, None, now);
        }
        if checker.known.trust.load().anchors.is_empty() {
            return Err(SetupError::NoAnchor);
        }
        Ok(Verifier(Arc::new(checker)))
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
