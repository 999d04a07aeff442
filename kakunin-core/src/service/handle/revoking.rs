//! Taking identities away, for whatever cause: one path, idempotent, never undone. Holds beside it.

use crate::agent::Note;
use crate::id::{AgentId, HaltId, Serial};
use crate::log::record::Requested;
use crate::revoke::{Cause, Halt, Revocation, Said};
use crate::service::command::alert::Suspect;
use crate::service::command::halt::StopAgent;
use crate::service::command::hold::{Hold, Release};
use crate::service::command::revoke::Revoke;
use crate::service::effects::running::Kakunin;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

impl Kakunin {
    /// Records that somebody uses an agent's certificate, or names it, without showing possession: an
    /// alert for its owner, once a day and agent. It moves no score. Says whether this was the first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn suspect_impersonation(&self, serial: &Serial) -> Result<bool, Error> {
        let inner = &self.inner;
        let tenant = inner.serials.tenant(serial).ok_or(Error::NO_CERTIFICATE)?;
        let tenant = inner.tenant(&tenant).await?;
        inner.decide(&tenant, None, Suspect { serial: *serial }).await
    }
}

impl Tenant {
    /// Revokes a certificate, and with it the one that stands beside it after a renewal, unless it is the older one and
    /// the cause that it is superseded. The first cause stands: revoking it again gives the first revocation.
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
    /// acme.revoke(&issued.facts.serial, Cause::KeyCompromise).await?;
    /// let again = acme.revoke(&issued.facts.serial, Cause::Retired).await?;
    /// assert_eq!(again.cause, Cause::KeyCompromise);
    /// // Verifiers in this process refuse it from here on; others follow the CRL or the feed.
    /// let known = kakunin.revocations().reason(&issued.facts.issuer, &issued.facts.serial)?;
    /// assert_eq!(known, Some(Reason::KeyCompromise));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] if the certificate is not of this tenant's; [`Error::Waits`] if the policy wants a second person.
    pub async fn revoke(&self, serial: &Serial, cause: Cause) -> Result<Revocation, Error> {
        let said = self.said.clone();
        match self.order(Revoke { serial: *serial, cause, said: said.clone(), approved: false }).await {
            Err(Error::SecondPerson) => self.ask(Requested::Revoke { serial: *serial, cause, said }).await,
            done => done,
        }
    }

    /// Stops an agent at once: its certificate, if it has one, is revoked for `cause`, and it stays
    /// suspended until [`Tenant::reinstate`]. Join tokens, grants and certificates in the making are void with it.
    /// Stopping a stopped agent gives the first stop.
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
    /// let halt = acme.halt(&agent.id, Cause::KillSwitchActivated, None).await?;
    /// assert_eq!(halt.serial, Some(issued.facts.serial));
    /// let refused = acme.certify(&agent.id, Profile::Standard, KeySource::default()).await;
    /// assert_eq!(refused.unwrap_err().code(), "agent_suspended");
    /// acme.reinstate(&agent.id, "its prompt was mended".to_owned().try_into()?).await?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if it is retired.
    pub async fn halt(&self, agent: &AgentId, cause: Cause, note: Option<Note>) -> Result<Halt, Error> {
        let id = HaltId::generate(self.inner.now(), &*self.inner.parts.entropy)?;
        let reason = self.said.reason.clone();
        let said = Said { reason, note: note.or_else(|| self.said.note.clone()) };
        let stop = StopAgent { id, agent: *agent, cause, said };
        self.order(stop).await
    }

    /// Suspends a certificate until [`Tenant::release`], and with it the one that stands beside it after a renewal.
    /// Holding a held one gives the first hold.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked already; [`Error::Agent`] if its agent is retired.
    pub async fn hold(&self, serial: &Serial) -> Result<Revocation, Error> {
        let hold = Hold { serial: *serial, said: self.said.clone() };
        self.order(hold).await
    }

    /// Ends a hold: the certificate is accepted again, and the one that was held with it until its grace is over. Releasing what is not held changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked; [`Error::Suspended`] if its agent was halted, too;
    /// [`Error::Agent`] if that is retired, or has no certificate.
    pub async fn release(&self, serial: &Serial) -> Result<(), Error> {
        match self.order(Release { serial: *serial, approved: false }).await {
            Err(Error::SecondPerson) => self.ask(Requested::Release { serial: *serial, since: None }).await,
            done => done,
        }
    }
}
