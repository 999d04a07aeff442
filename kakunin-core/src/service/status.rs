//! What anybody may know of a certificate, by its serial number alone.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::certificates::{self, CertificateState};
use super::error::Error;
use super::lifecycle::CertificateEntry;
use super::projection::AgentRow;
use super::tenant::Tenant;
use super::{Inner, Kakunin};
use crate::agent::Document;
use crate::error::StoreError;
use crate::id::{AgentId, Serial, TenantId};
use crate::log::sink::LogId;
use crate::revoke::{Halt, Receipt, Revocation};
use crate::state::Kind;
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
        let revocation = self.inner.parts.revocations.find(&issuer, serial).await?;
        let state = self.inner.stored_standing(&tenant, serial).await?;
        Ok(CertificateStatus {
            tenant: tenant.id.clone(),
            revocation,
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
        let row = self.parts.state.get(&log, Kind::Certificate, serial.as_bytes()).await?;
        let row = row.ok_or(Error::NotFound("certificate"))?;
        let corrupt = || StoreError::Corrupt("a stored certificate does not decode".into());
        let text = core::str::from_utf8(&row).map_err(|_| corrupt())?;
        Ok(pem::decode(pem::CERTIFICATE, text).ok().and_then(|mut all| all.pop()).ok_or_else(corrupt)?)
    }

    // From the store, which has what is durable, and without waiting for the sequencer.
    async fn stored_standing(&self, tenant: &Tenant, serial: &Serial) -> Result<CertificateState, Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let key = serial.as_bytes();
        let row = self.parts.state.get(&log, Kind::Standing, key).await?;
        let gone = || StoreError::Corrupt("how a certificate stands is gone".into());
        Ok(certificates::load(key, &row.ok_or_else(gone)?)?.ok_or_else(gone)?)
    }

    /// An agent's row from the store, which has what is durable, without waiting for the sequencer.
    pub(super) async fn stored_agent(
        &self,
        tenant: &Tenant,
        agent: &AgentId,
    ) -> Result<Option<AgentRow>, Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let row = self.parts.state.get(&log, Kind::Agent, agent.as_bytes()).await?;
        Ok(row.as_deref().map(AgentRow::decode).transpose()?)
    }
}
