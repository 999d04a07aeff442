//! Taking identities away, for whatever cause: one path, idempotent, never undone. Holds beside it.

use crate::agent::Note;
use crate::id::{AgentId, HaltId, Serial, TenantId};
use crate::revoke::{Cause, Halt, Revocation, Said};
use crate::service::command::alert::Suspect;
use crate::service::command::halt::StopAgent;
use crate::service::command::hold::{Hold, Release};
use crate::service::command::revoke::Revoke;
use crate::service::effects::running::Kakunin;
use crate::service::error::Error;

impl Kakunin {
    /// Revokes a certificate, and with it the one that stands beside it after a renewal, unless it is the older one and
    /// the cause that it is superseded. The first cause stands: revoking it again gives the first revocation.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the certificate is not of this tenant's.
    pub async fn revoke(
        &self,
        tenant: &TenantId,
        serial: &Serial,
        cause: Cause,
    ) -> Result<Revocation, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let revoke = Revoke { serial: *serial, cause, said: self.said.clone() };
        inner.decide(&tenant, self.by.clone(), revoke).await
    }

    /// Stops an agent at once: its certificate, if it has one, is revoked for `cause`, and it stays
    /// suspended until [`Kakunin::reinstate`]. Join tokens, grants and certificates in the making are void with it.
    /// Stopping a stopped agent gives the first stop.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if it is retired.
    pub async fn halt(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        cause: Cause,
        note: Option<Note>,
    ) -> Result<Halt, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let id = HaltId::generate(inner.now(), &*inner.parts.entropy)?;
        let reason = self.said.reason.clone();
        let said = Said { reason, note: note.or_else(|| self.said.note.clone()) };
        let stop = StopAgent { id, agent: *agent, cause, said };
        inner.decide(&tenant, self.by.clone(), stop).await
    }

    /// Records that somebody uses an agent's certificate, or names it, without showing possession: an
    /// alert for its owner, once a day and agent. It moves no score. Says whether this was the first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn suspect_impersonation(&self, serial: &Serial) -> Result<bool, Error> {
        let inner = &self.inner;
        let tenant = inner.serials.tenant(serial).ok_or(Error::NotFound("certificate"))?;
        let tenant = inner.tenant(&tenant).await?;
        inner.decide(&tenant, None, Suspect { serial: *serial }).await
    }

    /// Suspends a certificate until [`Kakunin::release`], and with it the one that stands beside it after a renewal.
    /// Holding a held one gives the first hold.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked already; [`Error::Agent`] if its agent is retired.
    pub async fn hold(&self, tenant: &TenantId, serial: &Serial) -> Result<Revocation, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let hold = Hold { serial: *serial, said: self.said.clone() };
        inner.decide(&tenant, self.by.clone(), hold).await
    }

    /// Ends a hold: the certificate is accepted again, and the one that was held with it until its grace is over. Releasing what is not held changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked; [`Error::Suspended`] if its agent was halted, too;
    /// [`Error::Agent`] if that is retired, or has no certificate.
    pub async fn release(&self, tenant: &TenantId, serial: &Serial) -> Result<(), Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        inner.decide(&tenant, self.by.clone(), Release { serial: *serial }).await
    }
}
