//! What relying parties and readers get: CRLs, the chain, live revocations, and the log.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Kakunin;
use super::error::Error;
use crate::error::StoreError;
use crate::id::{TenantId, hex_encode};
use crate::issue::Place;
use crate::log::record::Control;
use crate::log::sink::{Entry, LogId};
use crate::revoke::{LiveRevocations, Revocation};
use crate::state::{Change, Kind};
use crate::time::HOUR;
use crate::x509::ca::Issuer;
use crate::x509::crl::{self, Coverage};

/// How long a CRL is valid.
const CRL_VALIDITY: u64 = HOUR;
/// Revocations read at once.
const STEP: usize = 65_536;

impl Kakunin {
    /// The revocations of this deployment as verifiers of this process see them: always current.
    #[must_use]
    pub fn revocations(&self) -> Arc<LiveRevocations> {
        self.inner.live.clone()
    }

    /// The root of this deployment.
    #[must_use]
    pub fn root(&self) -> &Issuer {
        &self.inner.ca.root
    }

    /// The CA that issues to agents.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.inner.ca.issuer
    }

    /// Trust domain, public URL and extension arc.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.inner.place
    }

    /// A CRL of the issuing CA, DER: one shard, or every revoked certificate that has not expired.
    /// Its number is above that of every CRL with this coverage before it.
    ///
    /// # Errors
    /// What the store and the key provider say.
    pub async fn crl(&self, shard: Option<u16>) -> Result<Vec<u8>, Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        inner.settle_system(&mut system).await?;
        let now = inner.now();
        let issuer = &inner.ca.issuer;
        let revocations = self.standing(|r| r.expires >= now && shard.is_none_or(|s| s == r.shard)).await?;
        let entries: Vec<_> = revocations.iter().map(crl::entry).collect();
        let number = self.next_crl_number(shard).await?;
        let uri = shard.map(|s| inner.place.crl_uri(&issuer.id(), s));
        let coverage = uri.as_deref().map_or(Coverage::Full, Coverage::Shard);
        let prepared = crl::prepare(issuer, coverage, number, &entries, now, CRL_VALIDITY)?;
        let signature = inner.ca.signer.sign(prepared.to_be_signed()).await?;
        let der = prepared.assemble(issuer, &signature)?;
        let record = Control::CrlPublished {
            issuer: issuer.id(),
            shard,
            number,
            entries: u64::try_from(entries.len()).unwrap_or(u64::MAX),
            sha256: hex_encode(&Sha256::digest(&der)),
        };
        inner.append_system(&mut system, record).await?;
        Ok(der)
    }

    async fn standing(&self, wanted: impl Fn(&Revocation) -> bool) -> Result<Vec<Revocation>, Error> {
        let issuer = self.inner.ca.issuer.id();
        let (mut out, mut cursor) = (Vec::new(), 0);
        loop {
            let more = self.inner.parts.revocations.after(&issuer, cursor, STEP).await?;
            let Some((last, _)) = more.last() else {
                return Ok(out);
            };
            cursor = last + 1;
            out.extend(more.into_iter().map(|(_, r)| r).filter(&wanted));
        }
    }

    /// Stored before the CRL is signed: a crash leaves a gap, never a number twice.
    async fn next_crl_number(&self, shard: Option<u16>) -> Result<u64, Error> {
        let inner = &self.inner;
        let shard = shard.map_or("full".to_owned(), |s| s.to_string());
        let key = format!("crl/{}/{shard}", inner.ca.issuer.id()).into_bytes();
        let last = match inner.parts.state.get(&LogId::System, Kind::Cursor, &key).await? {
            Some(octets) => octets
                .try_into()
                .map(u64::from_be_bytes)
                .map_err(|_| StoreError::Corrupt("a CRL number does not decode".into()))?,
            None => 0,
        };
        // If the counter was lost, time still keeps the number growing.
        let next = (last + 1).max(inner.now().secs());
        let value = Some(next.to_be_bytes().to_vec());
        inner.parts.state.put(&LogId::System, &[Change { kind: Kind::Cursor, key, value }]).await?;
        Ok(next)
    }

    /// The signed checkpoint over a tenant's log, `None` while it is empty.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn checkpoint(&self, tenant: &TenantId) -> Result<Option<String>, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let sequencer = self.inner.settled(&tenant).await?;
        Ok(sequencer.ledger.checkpoint().map(str::to_owned))
    }

    /// The verifier key of a tenant's log: `name+hash+key`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn log_verifier(&self, tenant: &TenantId) -> Result<String, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let sequencer = self.inner.settled(&tenant).await?;
        Ok(sequencer.ledger.key().to_string())
    }

    /// Up to `limit` entries of a tenant's log from index `from`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn entries(&self, tenant: &TenantId, from: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        Ok(self.inner.parts.sink.read(&LogId::Tenant(tenant.id.clone()), from, limit).await?)
    }

    /// Stores the risk histories of every tenant in use, so that the next start replays little.
    ///
    /// # Errors
    /// What the store says.
    pub async fn snapshot(&self) -> Result<(), Error> {
        let tenants: Vec<_> = self.inner.tenants.read().await.values().flatten().cloned().collect();
        for tenant in tenants {
            let mut sequencer = self.inner.settled(&tenant).await?;
            sequencer.snapshot(&self.inner).await?;
        }
        Ok(())
    }
}
