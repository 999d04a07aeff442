//! What verification gives: an agent, and the proof that it may do one thing now.

use core::fmt;
use std::sync::Arc;

use kakunin_core::id::{AgentId, Environment, IssuerId, Serial, TenantId, TrustDomain};
use kakunin_core::key::Spki;
use kakunin_core::scope::{Action, ScopeSet, ToAction};
use kakunin_core::time::UnixTime;
use kakunin_core::x509::extensions::ModelHash;
#[cfg(feature = "possession")]
use kakunin_core::{crypto::PublicKey, key::SpkiError};

use crate::checker::Checker;
use crate::denied::{Code, Denied};
use crate::leaf::Leaf;

/// An agent whose certificate was accepted. Only a [`crate::Verifier`] makes one.
///
/// It says who presented the certificate only if possession of [`VerifiedAgent::public_key`]'s private
/// half was proved, by mutual TLS or a signed request. It may be kept for the life of a connection:
/// [`VerifiedAgent::authorize`] sees expiry and revocation each time.
#[derive(Clone)]
pub struct VerifiedAgent {
    leaf: Arc<Leaf>,
    verifier: Arc<Checker>,
}

/// The permission for one action at one moment. Only authorization makes one, so a function that takes
/// it cannot be reached without.
#[derive(Clone, Debug)]
pub struct Authorized {
    agent: VerifiedAgent,
    action: Action,
}

impl VerifiedAgent {
    pub(crate) const fn new(leaf: Arc<Leaf>, verifier: Arc<Checker>) -> Self {
        Self { leaf, verifier }
    }

    /// Allows `action`, an [`Action`] or a text such as `write:payments`, if the certificate still stands at `now` and
    /// its scope covers it. Nothing expensive: no parsing of the certificate, no signature. Nobody learns of it: a
    /// [`crate::Guard`] also has it recorded.
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
    /// use kakunin_verify::{Authorized, Verifier};
    ///
    /// /// Cannot be reached without a permission.
    /// fn read_mail(permission: Authorized) -> String {
    ///     format!("mail for {}", permission.agent().spiffe_id())
    /// }
    ///
    /// let now = SystemClock.now();
    /// let me = Verifier::following(kakunin.clone()).build(now)?.verify(&[&issued.der], now)?;
    /// let action: Action = "read:mail".parse()?;
    /// assert!(read_mail(me.authorize(&action, now)?).starts_with("mail for spiffe://agents.example/"));
    /// assert_eq!(me.authorize("delete:vault", now).unwrap_err().code(), "scope_violation");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Denied`] with `agent_revoked`, `agent_inactive`, `agent_expired`, `scope_violation` and the like.
    pub fn authorize<A: ToAction + ?Sized>(&self, action: &A, now: UnixTime) -> Result<Authorized, Denied> {
        self.recheck(now)?;
        self.permit(action)
    }

    /// Whether the certificate still stands at `now`: validity, revocation, and the issuer's.
    ///
    /// # Errors
    /// [`Denied`], as for [`VerifiedAgent::authorize`].
    pub fn recheck(&self, now: UnixTime) -> Result<(), Denied> {
        self.verifier.check_standing(&self.leaf, now)
    }

    // The scope alone, just after a check of standing.
    pub(crate) fn permit<A: ToAction + ?Sized>(&self, action: &A) -> Result<Authorized, Denied> {
        let action = action.to_action().map_err(|e| Denied::about(Code::ActionMalformed, e.to_string()))?;
        if self.leaf.claims.scope.permits(&action) {
            Ok(Authorized { agent: self.clone(), action })
        } else {
            Err(Denied::about(Code::ScopeViolation, action))
        }
    }

    /// Which agent.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        &self.leaf.claims.agent
    }

    /// Whose agent.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.leaf.claims.tenant
    }

    /// Where it runs.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.leaf.claims.environment
    }

    /// Which model it runs.
    #[must_use]
    pub fn model_hash(&self) -> &ModelHash {
        &self.leaf.claims.model_hash
    }

    /// What it may do.
    #[must_use]
    pub fn scope(&self) -> &ScopeSet {
        &self.leaf.claims.scope
    }

    /// SHA-256 of its constraints document, if it has one.
    #[must_use]
    pub fn constraints(&self) -> Option<&[u8; 32]> {
        self.leaf.claims.constraints.as_ref()
    }

    /// Serial number of its certificate.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.leaf.serial
    }

    /// Who issued its certificate.
    #[must_use]
    pub fn issuer(&self) -> &IssuerId {
        &self.leaf.issuer.id
    }

    /// Last moment of its certificate's validity.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.leaf.not_after
    }

    /// Its SPIFFE ID.
    #[must_use]
    pub fn spiffe_id(&self) -> &str {
        &self.leaf.spiffe_id
    }

    /// The trust domain of its anchor.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.leaf.issuer.domain
    }

    /// Its public key, to check proofs of possession with.
    #[must_use]
    pub fn public_key(&self) -> &Spki {
        &self.leaf.key
    }

    // For the implementation that the verifier was set up with.
    #[cfg(feature = "possession")]
    pub(crate) fn parsed_key(&self) -> Result<PublicKey, SpkiError> {
        PublicKey::with_backend(&self.leaf.key, self.verifier.backend())
    }
}

impl fmt::Debug for VerifiedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedAgent({} by {})", self.spiffe_id(), self.serial())
    }
}

impl Authorized {
    /// Who may.
    #[must_use]
    pub const fn agent(&self) -> &VerifiedAgent {
        &self.agent
    }

    /// What it may.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }
}
