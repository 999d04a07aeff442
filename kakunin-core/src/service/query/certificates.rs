//! Certificates: what anybody may know of one by its serial number, and what its owner sees.

use crate::agent::Document;
use crate::error::StoreError;
use crate::id::{AgentId, Serial, TenantId};
use crate::log::entry::LogId;
use crate::revoke::{Cause, Halt, Receipt, Revocation};
use crate::service::effects::running::Kakunin;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::certificates::{CertificateEntry, CertificateState, Certificates};
use crate::store::state::Kind;
use crate::x509::certificate::CertificateView;

/// Most certificates of one agent in a list: the newest.
pub const MAX_CERTIFICATES_LISTED: usize = 1_000;

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

impl Kakunin {
    /// A certificate by its serial number, whosever it is, and whether it stands. Only certificates of
    /// tenants that are loaded are found: see [`Kakunin::load`].
    ///
    /// # Errors
    /// [`Error::NotFound`] for every serial number that no certificate has, or had so long ago that it is in the log alone:
    /// see [`Config::certificate_retention`](crate::service::Config::certificate_retention).
    pub async fn find(&self, serial: &Serial) -> Result<CertificateStatus, Error> {
        let tenant = self.inner.serials.tenant(serial).ok_or(Error::NO_CERTIFICATE)?;
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
}

impl Tenant {
    /// A certificate this deployment issued, DER.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's certificates too.
    pub async fn certificate(&self, serial: &Serial) -> Result<Vec<u8>, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        self.inner.stored_certificate(&tenant, serial).await
    }
}

impl Tenant {
    /// Whose certificate this is. What is known in memory says it, so this costs next to nothing; what left that is read from
    /// the certificate itself.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's certificates too, and for what was planned and given up.
    pub async fn holder(&self, serial: &Serial) -> Result<AgentId, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        {
            let committed = self.inner.committed(&tenant).await?;
            let known = committed.certificates.get(serial);
            let given_up =
                |c: &&CertificateState| c.entry().revocation.is_some_and(|r| r.cause == Cause::Abandoned);
            if let Some(certificate) = known.filter(|certificate| !given_up(certificate)) {
                return Ok(certificate.facts.agent);
            }
        }
        let der = self.inner.stored_certificate(&tenant, serial).await?;
        let view = CertificateView::parse(&der, &self.inner.place.arc).ok();
        let claims = view.and_then(|view| view.extensions.agent.to_owned());
        claims.map(|claims| claims.agent).ok_or(Error::NO_CERTIFICATE)
    }

    /// A certificate this deployment issued, as its owner sees it, and its DER.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's certificates too.
    pub async fn certificate_entry(&self, serial: &Serial) -> Result<(CertificateEntry, Vec<u8>), Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        // First: what was planned and given up has a standing, and is no certificate.
        let der = self.inner.stored_certificate(&tenant, serial).await?;
        Ok((self.inner.stored_standing(&tenant, serial).await?.entry(), der))
    }
}

impl Tenant {
    /// The certificates of an agent, the newest [`MAX_CERTIFICATES_LISTED`] of them, oldest first. Older ones are
    /// found by their serial numbers, and in the log.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn certificates(&self, agent: &AgentId) -> Result<Vec<CertificateEntry>, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(&self.id).await?;
        if !inner.committed(&tenant).await?.agents.contains_key(agent) {
            return Err(Error::NotFound("agent"));
        }
        let log = LogId::Tenant(tenant.id.clone());
        let (state, own) = (&*inner.parts.state, agent.as_bytes().as_slice());
        let listed = state.scan(&log, Kind::Standing, Some(own), MAX_CERTIFICATES_LISTED).await?;
        let listed = listed.into_iter().filter(|(key, _)| key.starts_with(own) && key.len() == 24);
        let opened = |(key, row): (Vec<u8>, Vec<u8>)| inner.opened_one(&log, Kind::Standing, &key, &row);
        let serials: Vec<_> = listed.filter_map(opened).collect();
        let committed = inner.committed(&tenant).await?;
        let corrupt = || StoreError::Corrupt("the list of an agent's certificates does not decode".into());
        let entry = |serial: Vec<u8>| {
            let serial = serial.try_into().ok().and_then(Serial::from_bytes).ok_or_else(corrupt)?;
            // One that left since it was listed is in the log alone.
            Ok(committed.certificates.get(&serial).map(CertificateState::entry))
        };
        serials.into_iter().rev().map(entry).filter_map(Result::transpose).collect()
    }
}
