//! What relying parties get: CRLs, the chain, live revocations.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Kakunin;
use super::cas::Ca;
use super::error::Error;
use crate::error::StoreError;
use crate::id::{IssuerId, hex_encode};
use crate::issue::Place;
use crate::log::record::Control;
use crate::log::sink::LogId;
use crate::revoke::{LiveRevocations, Revocation};
use crate::state::{Change, Kind};
use crate::time::{HOUR, SECOND, UnixTime};
use crate::x509::crl::{self, Coverage};

/// How long a CRL is valid.
const CRL_VALIDITY: u64 = HOUR;
/// How long before its end a CRL is replaced, though nothing changed.
const CRL_RENEWAL: u64 = HOUR / 2;
/// How old a full CRL may be although something was revoked since: it can be large.
pub const FULL_CRL_AGE: u64 = 30 * SECOND;
/// Revocations read at once.
const STEP: usize = 65_536;

/// A CRL as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedCrl {
    /// The CRL.
    pub der: Vec<u8>,
    /// cRLNumber.
    pub number: u64,
    /// When it was made; it says that it is valid from [`crate::issue::BACKDATE`] before.
    pub at: UnixTime,
    /// nextUpdate.
    pub next_update: UnixTime,
    /// Size of the revocation log up to which it says everything.
    revocations: u64,
    /// SHA-256 of its entries.
    content: [u8; 32],
}

/// The newest CRLs, by issuer and shard; the full one under `None`.
#[derive(Debug, Default)]
pub(super) struct Crls(async_lock::Mutex<HashMap<CrlKey, Arc<PublishedCrl>>>);

type CrlKey = (IssuerId, Option<u16>);

impl PublishedCrl {
    fn serves(&self, shard: Option<u16>, revocations: u64, now: UnixTime) -> bool {
        let current = self.revocations == revocations;
        self.fresh(now) && (current || shard.is_none() && now.since(self.at) < FULL_CRL_AGE)
    }

    fn fresh(&self, now: UnixTime) -> bool {
        now.plus(CRL_RENEWAL) < self.next_update
    }
}

/// The entries of a CRL, encoded.
struct Content {
    entries: Vec<Vec<u8>>,
    digest: [u8; 32],
}

impl Kakunin {
    /// The revocations of this deployment as verifiers of this process see them: always current.
    #[must_use]
    pub fn revocations(&self) -> Arc<LiveRevocations> {
        self.inner.live.clone()
    }

    /// Verifier key of the feed key, which cosigns revocation logs with a time (c2sp.org/tlog-cosignature):
    /// to be handed out with the anchors.
    #[must_use]
    pub fn feed_verifier(&self) -> &str {
        &self.inner.feed_verifier
    }

    /// Waits until the revocation log of an issuing CA has more than `known` records, and says how many: for
    /// whatever follows it. Records that are counted are durable.
    ///
    /// # Errors
    /// [`Error::NotFound`] if this is no issuing CA of this deployment, or one that has expired.
    pub async fn revocations_above(&self, issuer: &IssuerId, known: u64) -> Result<u64, Error> {
        let ca = self.inner.cas.get(issuer).ok_or(Error::NotFound("issuing CA"))?;
        Ok(ca.growth.above(known).await)
    }

    /// Trust domain, public URL and extension arc.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.inner.place
    }

    /// A CRL of an issuing CA, one shard or the full one, as it stands: made when something was revoked
    /// since, or it is about to end. The full one may lack what was revoked within the last 30 s.
    ///
    /// # Errors
    /// [`Error::NotFound`] if this is no issuing CA of this deployment, or one that has expired; what the
    /// store and the key provider say.
    pub async fn published_crl(
        &self,
        issuer: &IssuerId,
        shard: Option<u16>,
    ) -> Result<Arc<PublishedCrl>, Error> {
        let inner = &self.inner;
        let ca = inner.cas.get(issuer).ok_or(Error::NotFound("issuing CA"))?;
        let key = (*issuer, shard);
        let mut crls = inner.crls.0.lock().await;
        let applied = inner.parts.revocations.applied(issuer).await?;
        if let Some(crl) = crls.get(&key).filter(|crl| crl.serves(shard, applied, inner.now())) {
            return Ok(crl.clone());
        }
        let content = self.content(&ca, shard).await?;
        let same = crls.get(&key).filter(|crl| crl.content == content.digest && crl.fresh(inner.now()));
        let crl = match same {
            // What was revoked elsewhere is no reason to sign again, nor to lengthen the log.
            Some(crl) => PublishedCrl { revocations: applied, ..(**crl).clone() },
            None => self.make_crl(&ca, shard, content, applied).await?,
        };
        let crl = Arc::new(crl);
        crls.insert(key, crl.clone());
        Ok(crl)
    }

    /// A new CRL of the CA that issues now, DER: one shard, or every revoked certificate that has not expired.
    /// Its number is above that of every CRL with this coverage before it.
    ///
    /// # Errors
    /// What the store and the key provider say.
    pub async fn crl(&self, shard: Option<u16>) -> Result<Vec<u8>, Error> {
        let ca = self.inner.cas.current();
        let applied = self.inner.parts.revocations.applied(&ca.issuer.id()).await?;
        let content = self.content(&ca, shard).await?;
        Ok(self.make_crl(&ca, shard, content, applied).await?.der)
    }

    /// What a CRL has to say now.
    async fn content(&self, ca: &Ca, shard: Option<u16>) -> Result<Content, Error> {
        let now = self.inner.now();
        let wanted = |r: &Revocation| r.expires >= now && shard.is_none_or(|s| s == r.shard);
        let standing = self.standing(ca, wanted).await?;
        let entries: Vec<_> = standing.iter().map(crl::entry).collect();
        let digest = Sha256::digest(entries.concat()).into();
        Ok(Content { entries, digest })
    }

    async fn make_crl(
        &self,
        ca: &Ca,
        shard: Option<u16>,
        Content { entries, digest: content }: Content,
        revocations: u64,
    ) -> Result<PublishedCrl, Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        inner.settle_system(&mut system).await?;
        let now = inner.now();
        let issuer = &*ca.issuer;
        let number = self.next_crl_number(&issuer.id(), shard).await?;
        let uri = shard.map(|s| inner.place.crl_uri(&issuer.id(), s));
        let coverage = uri.as_deref().map_or(Coverage::Full, Coverage::Shard);
        let prepared = crl::prepare(issuer, coverage, number, &entries, now, CRL_VALIDITY)?;
        let signature = ca.signer.sign(prepared.to_be_signed()).await?;
        let der = prepared.assemble(issuer, &signature)?;
        let record = Control::CrlPublished {
            issuer: issuer.id(),
            shard,
            number,
            entries: u64::try_from(entries.len()).unwrap_or(u64::MAX),
            sha256: hex_encode(&Sha256::digest(&der)),
        };
        inner.append_system(&mut system, record, None).await?;
        Ok(PublishedCrl { der, number, at: now, next_update: now.plus(CRL_VALIDITY), revocations, content })
    }

    async fn standing(
        &self,
        ca: &Ca,
        wanted: impl Fn(&Revocation) -> bool,
    ) -> Result<Vec<Revocation>, Error> {
        let issuer = ca.issuer.id();
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
    async fn next_crl_number(&self, issuer: &IssuerId, shard: Option<u16>) -> Result<u64, Error> {
        let inner = &self.inner;
        let shard = shard.map_or("full".to_owned(), |s| s.to_string());
        let key = format!("crl/{issuer}/{shard}").into_bytes();
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
}
