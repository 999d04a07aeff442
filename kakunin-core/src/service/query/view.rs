//! What verifiers of this process see, whatever follows revocations, and who operates the deployment.

use std::sync::Arc;

use crate::id::{IssuerId, TenantId};
use crate::issue::{Place, may_issue};
use crate::log::entry::LogId;
use crate::revoke::LiveRevocations;
use crate::service::effects::running::Kakunin;
use crate::service::engine::damage::Damage;
use crate::service::error::Error;
use crate::store::audit::Room;

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
        &self.inner.feed_key.verifier
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
}

impl Kakunin {
    /// Whether store and keys can be used now: the head of the log is read, and the log key signs.
    ///
    /// # Errors
    /// What they say.
    pub async fn check(&self) -> Result<(), Error> {
        let inner = &self.inner;
        inner.parts.sink.head(&LogId::System).await?;
        inner.log_signer.sign(b"kakunin: are you there?").await?;
        Ok(())
    }

    /// How much room the store has. While there is none, what takes trust away goes on all the same, if room was set aside
    /// for that; events are recorded if they take an identity away, and everything else is refused as `storage_full`.
    pub async fn room(&self) -> Room {
        self.inner.parts.sink.room().await
    }

    /// Records that wait to be decided and written, of all tenants: it grows while callers send more than the store writes.
    pub async fn waiting(&self) -> usize {
        self.inner.loaded_tenants().await.iter().map(|tenant| tenant.queue.len()).sum()
    }

    /// Whether the CA can issue now: it is valid, and its key signs. Without it nothing is issued, and with no key no
    /// CRL is made; everything else goes on.
    ///
    /// # Errors
    /// [`Error::Issue`] if it has ended, or its root has revoked it; what the key provider says.
    pub async fn check_signing(&self) -> Result<(), Error> {
        let ca = self.inner.cas.current();
        may_issue(&ca.issuer, self.inner.now())?;
        self.inner.is_not_revoked(&ca.root, &ca.issuer)?;
        ca.signer.sign(b"kakunin: are you there?").await?;
        Ok(())
    }

    /// The tenants of this deployment, in the order of their names.
    pub async fn tenants(&self) -> Vec<TenantId> {
        self.inner.tenant_ids()
    }

    /// What was found damaged since the deployment was opened.
    #[must_use]
    pub fn damage(&self) -> Damage {
        self.inner.damages.found()
    }

    /// By how many milliseconds the time of the log is ahead of the clock, or 0 if that is less than a minute. The
    /// clock is behind now, or was ahead before; records go on in their order, at half the clock's pace until it has
    /// caught up. What others hold against their clocks (validity, ends of tokens, dates of revocation) goes by the
    /// clock all the same.
    #[must_use]
    pub fn log_ahead(&self) -> u64 {
        self.inner.lead.ahead(self.inner.now())
    }

    /// By how many milliseconds the clock is ahead of what can be right, or 0 if it is believed: see
    /// [`Config::believe_clock`](crate::service::Config::believe_clock). Until it is put right, or believed, the log goes on
    /// from its last record by the time that goes by. All that goes by the clock still does.
    #[must_use]
    pub fn clock_disbelieved(&self) -> u64 {
        self.inner.lead.too_far(&*self.inner.parts.clock)
    }
}
