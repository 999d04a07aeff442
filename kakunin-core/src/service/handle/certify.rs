//! Agents are given certificates.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::StoreError;
use crate::id::{AgentId, Serial, uuid_v7};
use crate::issue::{Certificate, Profile};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId, Spki};
use crate::service::command::certify::{Begun, Conclude, Key, Making, Order, PlanKey};
use crate::service::command::repeat;
use crate::service::effects::running::Running;
use crate::service::effects::tenant::Tenant;
use crate::service::engine::boxed::Boxed;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::x509::csr::Proven;

/// Where an agent's private key is, or shall be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum KeySource<'a> {
    /// The deployment's provider makes it and keeps it.
    Provider(KeyAlgorithm),
    /// The workload keeps it, and shows possession with a PKCS#10 request in DER or PEM. Names and
    /// extensions come from the registration, never from the request.
    Request(&'a [u8]),
    /// The same, in place of a certificate: with a signature in X.509 form by the key of that certificate
    /// over [`Proven::binding_text`].
    Bound(&'a [u8], &'a [u8]),
}

/// RSA-2048 in the deployment's provider.
impl Default for KeySource<'_> {
    fn default() -> Self {
        Self::Provider(KeyAlgorithm::Rsa2048)
    }
}

impl Tenant {
    /// Gives an agent a certificate for a key from `source`, or once more the one that the same request got less than
    /// [`REPEATABLE`](crate::service::REPEATABLE) ago: key and serial are recorded as planned
    /// before they exist, or together with what is made of them, so that a crash leaves nothing unexplained.
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
    /// let key = KeySource::Provider(KeyAlgorithm::P256);
    /// let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
    /// // What it may do stands in the certificate; anybody can read it with `openssl x509 -text`.
    /// assert_eq!(issued.facts.agent, agent.id);
    /// assert_eq!(acme.certificate(&issued.facts.serial).await?, issued.der);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Exists`] if it has one that is not revoked or expired; [`Error::Suspended`] if it was halted, revoked
    /// or held: see [`Tenant::reinstate`]; or if it never had one, and an agent of its name was; [`Error::Agent`] if it is retired; [`Error::Csr`], [`Error::Sign`] and what the store says.
    pub async fn certify(
        &self,
        agent: &AgentId,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let order = Order { agent: *agent, profile, by: self.by.clone(), renews: None, join: None };
        self.inner.fulfil(&tenant, &Arc::new(order), source).await
    }
}

impl Running {
    pub(crate) fn fulfil<'a>(
        &'a self,
        tenant: &'a TenantLog,
        order: &'a Arc<Order>,
        source: KeySource<'a>,
    ) -> Boxed<'a, Result<Certificate, Error>> {
        Box::pin(self.fulfil_with(tenant, order, source))
    }

    async fn fulfil_with(
        &self,
        tenant: &TenantLog,
        order: &Arc<Order>,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        // Before a key is made for it.
        self.issuing_for(&tenant.id)?;
        let (request, binding) = match source {
            KeySource::Provider(algorithm) => return self.with_key_of_ours(tenant, order, algorithm).await,
            KeySource::Request(request) => (Proven::read(request)?, None),
            KeySource::Bound(request, signature) => (Proven::read(request)?, Some(signature)),
        };
        let _turn = self.turns.of(request.key.key_id()).await;
        let refused = match self.with_their_key(tenant, order, &request, binding).await {
            Err(refused) if repeat::may_follow(&refused) => refused,
            issued => return issued,
        };
        // It may have been asked before, and the answer lost.
        if let Some(certificate) = self.answered_before(tenant, order, &request, binding).await? {
            return Ok(certificate);
        }
        let full = matches!(refused, Error::Store(StoreError::Full));
        if full || !self.was_cut_off(tenant, order, &request).await? {
            return Err(refused);
        }
        self.abandon(tenant, order.agent).await?;
        self.with_their_key(tenant, order, &request, binding).await
    }

    async fn with_their_key(
        &self,
        tenant: &TenantLog,
        order: &Arc<Order>,
        request: &Proven,
        binding: Option<&[u8]>,
    ) -> Result<Certificate, Error> {
        let binding = match &order.renews {
            Some((_, replaced)) => Some(replaced.binding(request, binding)?),
            None => None,
        };
        self.issue(tenant, order, Key::Theirs(binding), &request.key).await
    }

    /// With a key that the provider makes; or made, if this renewal was asked for before and the answer lost.
    async fn with_key_of_ours(
        &self,
        tenant: &TenantLog,
        order: &Arc<Order>,
        algorithm: KeyAlgorithm,
    ) -> Result<Certificate, Error> {
        match self.with_new_key(tenant, order, algorithm).await {
            Err(refused) if order.renews.is_some() && repeat::may_follow(&refused) => {
                self.made_before(tenant, order, algorithm).await?.ok_or(refused)
            }
            issued => issued,
        }
    }

    async fn with_new_key(
        &self,
        tenant: &TenantLog,
        order: &Arc<Order>,
        algorithm: KeyAlgorithm,
    ) -> Result<Certificate, Error> {
        let planned = PlannedKeyId::new(uuid_v7(self.now(), &*self.parts.entropy)?);
        let plan = PlanKey { order: order.clone(), planned: planned.clone(), algorithm };
        let stood = self.decide(tenant, order.by.clone(), plan).await?;
        let (key, spki) = match self.make_key(&planned, algorithm).await {
            Ok(made) => made,
            Err(error) => {
                // The error that matters is the first one.
                let _ = self.abandon(tenant, order.agent).await;
                return Err(error);
            }
        };
        let issued = self.issue(tenant, order, Key::Made(key.clone(), stood), &spki).await;
        if issued.is_err() && !matches!(self.abandon(tenant, order.agent).await, Ok(true)) {
            // Somebody gave the plan up before, and may have looked for the key before it was there.
            let _ = self.parts.keys.retire(&key).await;
        }
        issued
    }

    async fn make_key(
        &self,
        planned: &PlannedKeyId,
        algorithm: KeyAlgorithm,
    ) -> Result<(KeyRef, Spki), Error> {
        let key = self.parts.keys.generate(planned, algorithm).await?;
        let spki = self.parts.keys.open(&key).await?.public_key().clone();
        Ok((key, spki))
    }

    async fn issue(
        &self,
        tenant: &TenantLog,
        order: &Arc<Order>,
        key: Key,
        spki: &Spki,
    ) -> Result<Certificate, Error> {
        let serial = Serial::generate(&*self.parts.entropy)?;
        // Before it exists, so that a certificate is found from the moment it is in the log.
        self.serials.remember(serial, &tenant.id);
        let ca = self.issuing_for(&tenant.id)?;
        let held = key.held();
        let (issuer, signer) = (ca.issuer.clone(), ca.signer.clone());
        let making = Making { order: order.clone(), issuer, signer, serial, key, spki: spki.clone() };
        let begun = self.decide(tenant, order.by.clone(), making).await;
        if begun.as_ref().is_err_and(|error| !matches!(error, Error::Store(_))) {
            // Refused: nobody ever has it.
            self.serials.forget(&HashSet::from([serial]));
        }
        let (planned, prepared) = match begun? {
            Begun::Issued(certificate) => return Ok(Certificate { key: held, ..certificate }),
            Begun::Planned(planned) => *planned,
        };
        let signed = match prepared.sign(&ca.issuer, &*ca.signer).await {
            Ok(certificate) => Certificate { key: held, ..certificate },
            Err(error) => {
                let _ = self.abandon(tenant, order.agent).await;
                return Err(error.into());
            }
        };
        let conclude = Conclude { order: order.clone(), planned, signed };
        let concluded = self.decide(tenant, order.by.clone(), conclude).await;
        if concluded.is_err() {
            let _ = self.abandon(tenant, order.agent).await;
        }
        concluded
    }
}
