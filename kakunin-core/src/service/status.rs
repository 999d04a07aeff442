//! What anybody may know of a certificate, by its serial number alone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::certificates::{self, CertificateState, Certificates};
use super::error::Error;
use super::lifecycle::CertificateEntry;
use super::projection::AgentRow;
use super::tenant::Tenant;
use super::{Inner, Kakunin};
use crate::agent::{Agent, Document};
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial, TenantId};
use crate::log::entry::{Entry, LogId};
use crate::log::leaf::Leaf;
use crate::log::record::{Body, Control, Record};
use crate::revoke::{Cause, Halt, Receipt, Revocation};
use crate::store::state::{Change, Kind};
use crate::x509::certificate::CertificateView;
use crate::x509::pem;

/// A certificate of this deployment, and whether it still stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// Whose agent it certifies.
    pub tenant: TenantId,
    /// The certificate.
    pub der: Vec<u8>,
    /// Its revocation or hold.
    pub revocation: Option<Revocation>,
    /// The stop that took it away, if that was the cause.
    pub halt: Option<Halt>,
    /// The receipt of that, once it is signed.
    pub receipt: Option<Receipt>,
    /// The document whose hash it pins.
    pub constraints: Option<Document>,
}

/// To which tenant each serial number belongs.
#[derive(Debug, Default)]
pub(super) struct Serials(RwLock<HashMap<Serial, Arc<TenantId>>>);

impl Serials {
    pub(super) fn remember(&self, serial: Serial, tenant: &TenantId) {
        self.remember_all(tenant, [serial]);
    }

    pub(super) fn remember_all(&self, tenant: &TenantId, serials: impl IntoIterator<Item = Serial>) {
        let tenant = Arc::new(tenant.clone());
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.extend(serials.into_iter().map(|serial| (serial, tenant.clone())));
    }

    pub(super) fn tenant(&self, serial: &Serial) -> Option<Arc<TenantId>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(serial).cloned()
    }
}

impl Kakunin {
    /// Loads every tenant, so that the first question about one does not wait for it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load(&self) -> Result<(), Error> {
        let ids: Vec<_> = self.inner.tenants.read().await.keys().cloned().collect();
        for id in ids {
            self.inner.tenant(&id).await?;
        }
        Ok(())
    }

    /// A certificate by its serial number, whosever it is, and whether it stands. Only certificates of
    /// tenants that are loaded are found: see [`Kakunin::load`].
    ///
    /// # Errors
    /// [`Error::NotFound`] for every serial number that no certificate has.
    pub async fn find(&self, serial: &Serial) -> Result<CertificateStatus, Error> {
        let tenant = self.inner.serials.tenant(serial).ok_or(Error::NotFound("certificate"))?;
        let tenant = self.inner.tenant(&tenant).await?;
        let der = self.inner.stored_certificate(&tenant, serial).await?;
        let corrupt = || StoreError::Corrupt("a stored certificate does not parse".into());
        let view = CertificateView::parse(&der, &self.inner.place.arc).map_err(|_| corrupt())?;
        let issuer = view.issuer_id().ok_or_else(corrupt)?;
        let revocation = self.inner.revocation_of(&tenant, &issuer, serial).await?;
        let state = self.inner.stored_standing(&tenant, serial).await?;
        Ok(CertificateStatus {
            tenant: tenant.id.clone(),
            // Of a CA that was replaced and has ended only the tenant's own record says what was revoked since.
            revocation: revocation.or(state.entry().revocation),
            halt: state.halt,
            receipt: state.receipt,
            constraints: state.constraints,
            der,
        })
    }

    /// A certificate this deployment issued, DER.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's certificates too.
    pub async fn certificate(&self, tenant: &TenantId, serial: &Serial) -> Result<Vec<u8>, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        self.inner.stored_certificate(&tenant, serial).await
    }
}

impl Kakunin {
    /// A certificate this deployment issued, as its owner sees it, and its DER.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's certificates too.
    pub async fn certificate_entry(
        &self,
        tenant: &TenantId,
        serial: &Serial,
    ) -> Result<(CertificateEntry, Vec<u8>), Error> {
        let tenant = self.inner.tenant(tenant).await?;
        // First: what was planned and given up has a standing, and is no certificate.
        let der = self.inner.stored_certificate(&tenant, serial).await?;
        Ok((self.inner.stored_standing(&tenant, serial).await?.entry(), der))
    }
}

impl Inner {
    pub(super) async fn stored_certificate(
        &self,
        tenant: &Tenant,
        serial: &Serial,
    ) -> Result<Vec<u8>, Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let row = match self.row_of(tenant, Kind::Certificate, serial.as_bytes()).await? {
            Some(row) => row,
            None if self.was_issued(tenant, serial).await? => self.restored_certificate(&log, serial).await?,
            None => return Err(Error::NotFound("certificate")),
        };
        let corrupt = || StoreError::Corrupt("a stored certificate does not decode".into());
        let text = core::str::from_utf8(&row).map_err(|_| corrupt())?;
        Ok(pem::decode(pem::CERTIFICATE, text).ok().and_then(|mut all| all.pop()).ok_or_else(corrupt)?)
    }

    /// Whether the tenant has this certificate, and not only planned it.
    async fn was_issued(&self, tenant: &Tenant, serial: &Serial) -> Result<bool, Error> {
        if self.serials.tenant(serial).is_none_or(|owner| *owner != tenant.id) {
            return Ok(false);
        }
        let sequencer = self.settled(tenant).await?;
        let revocation = sequencer.projection.certificates.get(serial).map(|c| c.entry().revocation);
        let abandoned = |revocation: Revocation| revocation.cause == Cause::Abandoned;
        Ok(revocation.is_some_and(|revocation| !revocation.is_some_and(abandoned)))
    }

    /// The row of a certificate that somebody else changed or took away, from the log again: without it, what its
    /// agent does could not be recorded.
    async fn restored_certificate(&self, log: &LogId, serial: &Serial) -> Result<Vec<u8>, Error> {
        let mut index = 0;
        loop {
            let entries = self.parts.sink.read(log, index, 4_096).await?;
            if entries.is_empty() {
                // Planned, and given up.
                return Err(Error::NotFound("certificate"));
            }
            index = index.saturating_add(u64::try_from(entries.len()).unwrap_or(u64::MAX));
            let names =
                |entry: &&Entry| Leaf::decode(&entry.leaf).is_ok_and(|leaf| leaf.serial == Some(*serial));
            for entry in entries.iter().filter(names) {
                if let Body::Control(control) = Record::open(entry)?.body
                    && let Control::CertificateIssued { certificate, .. } = *control
                {
                    let (kind, key) = (Kind::Certificate, serial.as_bytes().to_vec());
                    self.damages.note(format!(
                        "certificate {serial} was changed by somebody else; it is again what the log says"
                    ));
                    let row = Change { kind, key, value: Some(certificate.clone().into_bytes()) };
                    self.parts.state.put(log, &[self.seal_key.tagged(log, row)]).await?;
                    return Ok(certificate.into_bytes());
                }
            }
        }
    }

    // From the store, without waiting; where that is not what the verifiers of this process go by, from memory.
    async fn revocation_of(
        &self,
        tenant: &Tenant,
        issuer: &IssuerId,
        serial: &Serial,
    ) -> Result<Option<Revocation>, Error> {
        let stored = self.parts.revocations.find(issuer, serial).await?;
        match self.live.reason(issuer, serial) {
            Ok(live) if live != stored.map(|revocation| revocation.cause.reason()) => {}
            _ => return Ok(stored),
        }
        let sequencer = self.settled(tenant).await?;
        Ok(sequencer.projection.certificates.get(serial).and_then(|c| c.entry().revocation))
    }

    // From the store, which has what is durable, and without waiting for the sequencer; unless somebody else wrote there.
    async fn stored_standing(&self, tenant: &Tenant, serial: &Serial) -> Result<CertificateState, Error> {
        if let Some(row) = self.row_of(tenant, Kind::Standing, serial.as_bytes()).await?
            && let Some(state) = certificates::load(serial.as_bytes(), &row)?
        {
            return Ok(state);
        }
        let sequencer = self.settled(tenant).await?;
        let gone = || StoreError::Corrupt("how a certificate stands is gone".into());
        Ok(sequencer.projection.certificates.get(serial).cloned().ok_or_else(gone)?)
    }

    /// An agent from the store, as [`Inner::stored_standing`].
    pub(super) async fn stored_agent(
        &self,
        tenant: &Tenant,
        agent: &AgentId,
    ) -> Result<Option<Agent>, Error> {
        if let Some(row) = self.row_of(tenant, Kind::Agent, agent.as_bytes()).await? {
            return Ok(Some(AgentRow::decode(&row)?.agent));
        }
        let sequencer = self.settled(tenant).await?;
        Ok(sequencer.projection.agents.get(agent).map(|entry| entry.row.agent.clone()))
    }

    async fn row_of(&self, tenant: &Tenant, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let row = self.parts.state.get(&log, kind, key).await?;
        Ok(row.and_then(|row| self.opened_one(&log, kind, key, &row)))
    }
}
