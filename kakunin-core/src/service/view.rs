//! What verifiers of this process see, and whatever follows revocations.

use std::sync::Arc;

use super::Kakunin;
use super::error::Error;
use crate::id::IssuerId;
use crate::issue::Place;
use crate::revoke::LiveRevocations;

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
}
