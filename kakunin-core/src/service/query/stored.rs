//! What is stored of agents and certificates, read without waiting for whoever decides; unless somebody else wrote there.

use crate::agent::Agent;
use crate::error::StoreError;
use crate::id::{AgentId, IssuerId, Serial};
use crate::log::entry::{Entry, LogId};
use crate::log::leaf::Leaf;
use crate::log::record::{Body, Control, Record};
use crate::revoke::{Cause, Revocation};
use crate::service::effects::running::Running;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::agent::AgentRow;
use crate::service::state::certificates::{self, CertificateState, Certificates};
use crate::store::state::{Change, Kind};
use crate::x509::pem;

impl Running {
    pub(crate) async fn stored_certificate(
        &self,
        tenant: &TenantLog,
        serial: &Serial,
    ) -> Result<Vec<u8>, Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let row = match self.row_of(tenant, Kind::Certificate, serial.as_bytes()).await? {
            Some(row) => row,
            None if self.was_issued(tenant, serial).await? => self.restored_certificate(&log, serial).await?,
            None => return Err(Error::NO_CERTIFICATE),
        };
        let corrupt = || StoreError::Corrupt("a stored certificate does not decode".into());
        let text = core::str::from_utf8(&row).map_err(|_| corrupt())?;
        Ok(pem::decode(pem::CERTIFICATE, text).ok().and_then(|mut all| all.pop()).ok_or_else(corrupt)?)
    }

    /// Whether the tenant has this certificate, and not only planned it.
    async fn was_issued(&self, tenant: &TenantLog, serial: &Serial) -> Result<bool, Error> {
        if self.serials.tenant(serial).is_none_or(|owner| *owner != tenant.id) {
            return Ok(false);
        }
        // Its row may have left with an append that nobody reads yet.
        drop(self.settled(tenant).await?);
        let revocation = tenant.committed.read().certificates.get(serial).map(|c| c.entry().revocation);
        let abandoned = |revocation: Revocation| revocation.cause == Cause::Abandoned;
        Ok(revocation.is_some_and(|revocation| !revocation.is_some_and(abandoned)))
    }

    /// The row of a certificate that somebody else changed or took away, from the log again: without it, what its
    /// agent does could not be recorded.
    async fn restored_certificate(&self, log: &LogId, serial: &Serial) -> Result<Vec<u8>, Error> {
        let mut index = 0;
        loop {
            let entries = self.parts.sink.read_leaves(log, index, 4_096).await?;
            if entries.is_empty() {
                // Planned, and given up.
                return Err(Error::NO_CERTIFICATE);
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
    pub(crate) async fn revocation_of(
        &self,
        tenant: &TenantLog,
        issuer: &IssuerId,
        serial: &Serial,
    ) -> Result<Option<Revocation>, Error> {
        let stored = self.parts.revocations.find(issuer, serial).await?;
        match self.live.reason(issuer, serial) {
            Ok(live) if live != stored.map(|revocation| revocation.cause.reason()) => {}
            _ => return Ok(stored),
        }
        let committed = self.committed(tenant).await?;
        Ok(committed.certificates.get(serial).and_then(|c| c.entry().revocation))
    }

    // From the store, which has what is durable, and without waiting for the sequencer; unless somebody else wrote there.
    pub(crate) async fn stored_standing(
        &self,
        tenant: &TenantLog,
        serial: &Serial,
    ) -> Result<CertificateState, Error> {
        if let Some(row) = self.row_of(tenant, Kind::Standing, serial.as_bytes()).await?
            && let Some(state) = certificates::load(serial.as_bytes(), &row)?
        {
            return Ok(state);
        }
        // As above.
        drop(self.settled(tenant).await?);
        tenant.committed.read().certificates.get(serial).cloned().ok_or(Error::NO_CERTIFICATE)
    }

    /// An agent from the store, as [`Inner::stored_standing`].
    pub(crate) async fn stored_agent(
        &self,
        tenant: &TenantLog,
        agent: &AgentId,
    ) -> Result<Option<Agent>, Error> {
        if let Some(row) = self.row_of(tenant, Kind::Agent, agent.as_bytes()).await? {
            return Ok(Some(AgentRow::decode(&row)?.agent));
        }
        let committed = self.committed(tenant).await?;
        Ok(committed.agents.get(agent).map(|entry| entry.row.agent.clone()))
    }

    async fn row_of(&self, tenant: &TenantLog, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let row = self.parts.state.get(&log, kind, key).await?;
        Ok(row.and_then(|row| self.opened_one(&log, kind, key, &row)))
    }
}
