//! Taking identities away, for whatever cause: one path, idempotent, never undone. Holds beside it.

use super::draft::{Draft, revocation};
use super::error::Error;
use super::lifecycle::known;
use super::projection::{CertificateState, KeyAction, KeyTask, Notification, Standing};
use super::tenant::{Tenant, scan};
use super::{Inner, Kakunin};
use crate::error::StoreError;
use crate::id::{AgentId, Serial, TenantId};
use crate::log::record::Control;
use crate::log::sink::LogId;
use crate::revoke::{Cause, Revocation, RevocationChange};
use crate::state::{Change, Kind};

impl Kakunin {
    /// Revokes a certificate. The first cause stands: revoking it again gives the first revocation.
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
        let revoked = inner
            .decide(&tenant, |draft| {
                let certificate = certificate(draft, serial)?;
                if let Standing::Revoked(first) = certificate.standing {
                    return Ok(first);
                }
                let revocation = revocation(&certificate.facts, cause, draft.time);
                draft.revoke(revocation, None)?;
                Ok(revocation)
            })
            .await?;
        // The identity is gone already; a provider that does not answer now is asked again later.
        let _ = inner.run_key_tasks(&tenant).await;
        Ok(revoked)
    }

    /// Suspends a certificate until [`Kakunin::release`]. Holding a held one gives the first hold.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked already.
    pub async fn hold(&self, tenant: &TenantId, serial: &Serial) -> Result<Revocation, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let held = inner
            .decide(&tenant, |draft| {
                let certificate = certificate(draft, serial)?;
                match certificate.standing {
                    Standing::Held(first) => return Ok(first),
                    Standing::Revoked(_) => {
                        return Err(Error::Exists("the certificate is revoked, which is not undone"));
                    }
                    Standing::Good => {}
                }
                let hold = revocation(&certificate.facts, Cause::Hold, draft.time);
                draft.revocations.push(RevocationChange::Revoked(hold));
                draft.push(hold.agent, Some(*serial), Control::CertificateHeld(hold))?;
                Ok(hold)
            })
            .await?;
        let _ = inner.run_key_tasks(&tenant).await;
        Ok(held)
    }

    /// Ends a hold: the certificate is accepted again. Releasing what is not held changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked.
    pub async fn release(&self, tenant: &TenantId, serial: &Serial) -> Result<(), Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        inner
            .decide(&tenant, |draft| {
                let certificate = certificate(draft, serial)?;
                let (issuer, agent) = (certificate.facts.issuer, certificate.facts.agent);
                match certificate.standing {
                    Standing::Good => return Ok(()),
                    Standing::Revoked(_) => {
                        return Err(Error::Exists("the certificate is revoked, which is not undone"));
                    }
                    Standing::Held(_) => {}
                }
                draft.revocations.push(RevocationChange::Released { issuer, serial: *serial });
                Ok(draft.push(agent, Some(*serial), Control::CertificateReleased { issuer })?)
            })
            .await?;
        inner.run_key_tasks(&tenant).await
    }

    /// The inbox of a tenant, oldest first: up to `limit` items above index `after`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn notifications(
        &self,
        tenant: &TenantId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Notification)>, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let log = LogId::Tenant(tenant.id.clone());
        let after = after.map(u64::to_be_bytes);
        let rows =
            inner.parts.state.scan(&log, Kind::Inbox, after.as_ref().map(<[u8; 8]>::as_slice), limit).await?;
        let corrupt = || StoreError::Corrupt("an item of the inbox does not decode".into());
        let mut items = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let index = u64::from_be_bytes(key.as_slice().try_into().map_err(|_| corrupt())?);
            items.push((index, serde_json::from_slice(&value).map_err(|_| corrupt())?));
        }
        Ok(items)
    }
}

impl Inner {
    /// Tells the key provider what was decided. A task is removed once it is done, so that a provider
    /// that is down, or a crash, only delays it.
    pub(super) async fn run_key_tasks(&self, tenant: &Tenant) -> Result<(), Error> {
        let log = LogId::Tenant(tenant.id.clone());
        for (key, value) in scan(self, &log, Kind::Plan).await? {
            let task: KeyTask = serde_json::from_slice(&value)
                .map_err(|_| StoreError::Corrupt("a key task does not decode".into()))?;
            let keys = &self.parts.keys;
            match task.task {
                KeyAction::Disable => keys.disable(&task.key).await?,
                KeyAction::Enable => keys.enable(&task.key).await?,
                KeyAction::Retire => {
                    // At once, and then for good.
                    keys.disable(&task.key).await.or_else(already_gone)?;
                    keys.retire(&task.key).await.or_else(already_gone)?;
                }
            }
            self.parts.state.put(&log, &[Change { kind: Kind::Plan, key, value: None }]).await?;
        }
        Ok(())
    }
}

// A key that the provider no longer has cannot sign: that is what the task is for.
fn already_gone(error: crate::key::SignError) -> Result<(), crate::key::SignError> {
    match error {
        crate::key::SignError::NotFound(_) | crate::key::SignError::Refused { .. } => Ok(()),
        other => Err(other),
    }
}

fn certificate<'d>(draft: &'d Draft<'_>, serial: &Serial) -> Result<&'d CertificateState, Error> {
    let agent: AgentId = draft.agent_of(serial).ok_or(Error::NotFound("certificate"))?;
    known(draft, &agent)?.certificate(serial).ok_or(Error::NotFound("certificate"))
}
