//! What is known of revocations: a look-up in an immutable set, and how old that set is.

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kakunin_core::id::{IssuerId, SerialNumber};
use kakunin_core::revoke::{LiveRevocations, Reason, RevokedSet};
use kakunin_core::time::UnixTime;
#[cfg(feature = "crl")]
use kakunin_core::x509::{
    ca::Issuer,
    crl::{CrlRefused, CrlView},
    der::DerError,
};

/// What a view knows of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The issuer's revocations are known, and the certificate is not among them.
    Good,
    /// Revoked, or on hold.
    Revoked(Reason),
    /// The issuer's revocations are not known here.
    Unknown,
}

/// Where a verifier looks revocations up. Never waits, never does I/O: whoever fills it does.
///
/// * Atomicity: status and age of one answer belong to the same state.
/// * Durability: none.
/// * Concurrency: any number of calls at once, none waits for a writer.
/// * Idempotence: asking changes nothing.
pub trait RevocationView: fmt::Debug + Send + Sync {
    /// What is known of a certificate, and as of when that is complete; a view that is always current
    /// answers `now`. `issuer` is the identifier of the key that signed it; authorities are looked up as well as
    /// agents, and their serial numbers may be of any length.
    fn status(&self, issuer: &IssuerId, serial: &SerialNumber, now: UnixTime) -> (Status, UnixTime);
}

/// In process with the service that revokes: always current.
impl RevocationView for LiveRevocations {
    fn status(&self, issuer: &IssuerId, serial: &SerialNumber, now: UnixTime) -> (Status, UnixTime) {
        let status = match self.reason(issuer, serial) {
            Ok(None) => Status::Good,
            Ok(Some(reason)) => Status::Revoked(reason),
            Err(_) => Status::Unknown,
        };
        (status, now)
    }
}

impl<V: RevocationView + ?Sized> RevocationView for Arc<V> {
    fn status(&self, issuer: &IssuerId, serial: &SerialNumber, now: UnixTime) -> (Status, UnixTime) {
        (**self).status(issuer, serial, now)
    }
}

/// The revocations of some issuers, each as of a moment of its own.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    known: HashMap<IssuerId, Known>,
    as_of: UnixTime,
}

/// The revocations of one issuer at one moment.
#[derive(Clone, Debug)]
struct Known {
    set: Arc<RevokedSet>,
    as_of: UnixTime,
}

impl Snapshot {
    /// An empty snapshot; what is added with [`Snapshot::with`] is complete as of that moment.
    #[must_use]
    pub fn new(as_of: UnixTime) -> Self {
        Self { known: HashMap::new(), as_of }
    }

    /// What the full CRL of a CA says, issuing or above, complete as of its thisUpdate. CRLs are issued for longer than
    /// 20 s and backdated, so a verifier that has nothing else needs [`crate::Policy::max_staleness`] of their
    /// validity and five minutes.
    ///
    /// # Errors
    /// [`CrlRefused`] if it is not this issuer's, the issuer may not sign CRLs, or it is not valid at `now`; a part
    /// of what the issuer revoked (a shard, a delta) is refused as malformed, because nobody could tell from it that
    /// another is good, and so is whatever RFC 5280 does not allow for.
    #[cfg(feature = "crl")]
    pub fn from_crl(issuer: &Issuer, crl: &[u8], now: UnixTime) -> Result<Self, CrlRefused> {
        let view = CrlView::parse(crl)?;
        view.check(issuer, now)?;
        if view.partial {
            return Err(CrlRefused::Malformed(DerError));
        }
        Ok(Self::new(view.this_update).with(issuer.id(), RevokedSet::from_entries(view.revoked())))
    }

    /// With the revocations of one more issuer; an empty set says that none is revoked.
    #[must_use]
    pub fn with(mut self, issuer: IssuerId, set: impl Into<Arc<RevokedSet>>) -> Self {
        let known = Known { set: set.into(), as_of: self.as_of };
        self.known.insert(issuer, known);
        self
    }

    /// As of when the revocations of an issuer are complete; `None` if they are not known.
    #[must_use]
    pub fn as_of(&self, issuer: &IssuerId) -> Option<UnixTime> {
        self.known.get(issuer).map(|known| known.as_of)
    }

    /// The revocations of one issuer.
    #[must_use]
    pub fn set(&self, issuer: &IssuerId) -> Option<&RevokedSet> {
        self.known.get(issuer).map(|known| &*known.set)
    }

    /// What is newer of each issuer.
    fn merged(&self, newer: &Self) -> Self {
        let mut merged = self.clone();
        for (issuer, known) in &newer.known {
            if merged.as_of(issuer).is_none_or(|as_of| as_of <= known.as_of) {
                merged.known.insert(*issuer, known.clone());
            }
        }
        merged
    }
}

impl RevocationView for Snapshot {
    fn status(&self, issuer: &IssuerId, serial: &SerialNumber, _: UnixTime) -> (Status, UnixTime) {
        let Some(known) = self.known.get(issuer) else { return (Status::Unknown, self.as_of) };
        let status = known.set.reason(serial).map_or(Status::Good, Status::Revoked);
        (status, known.as_of)
    }
}

/// Where feeds publish what they know, and verifiers read it. Clones share one state.
///
/// It starts out empty and as old as time, so that everything is denied until the first snapshot.
#[derive(Clone, Debug, Default)]
pub struct RevocationHandle(Arc<ArcSwap<Snapshot>>);

impl RevocationHandle {
    /// Brings in what a snapshot knows; verifiers see it with their next look-up. What it knows of an issuer
    /// and is older than what is known of that issuer already is passed over, so that a late arrival never
    /// brings a revoked identity back. Issuers that it does not name stay as they are.
    pub fn publish(&self, snapshot: Snapshot) {
        self.0.rcu(|current| current.merged(&snapshot));
    }

    /// The current snapshot.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}

impl RevocationView for RevocationHandle {
    fn status(&self, issuer: &IssuerId, serial: &SerialNumber, now: UnixTime) -> (Status, UnixTime) {
        self.0.load().status(issuer, serial, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakunin_core::id::Serial;

    #[test]
    fn a_handle_starts_unknown_and_never_goes_back() {
        let (issuer, serial) = (IssuerId::from_bytes([1; 20]), Serial::from_bytes([1; 16]).unwrap());
        let handle = RevocationHandle::default();
        let t = UnixTime::from_secs(9);
        assert_eq!(handle.status(&issuer, &serial, t), (Status::Unknown, UnixTime::default()));
        let revoked = RevokedSet::from_entries([(serial, Reason::KeyCompromise)]);
        handle.publish(Snapshot::new(t).with(issuer, revoked));
        handle.publish(Snapshot::new(t.minus(1)).with(issuer, RevokedSet::default()));
        assert_eq!(handle.status(&issuer, &serial, t).0, Status::Revoked(Reason::KeyCompromise));
        let other = IssuerId::from_bytes([2; 20]);
        handle.publish(Snapshot::new(t.minus(5)).with(other, RevokedSet::default()));
        assert_eq!(handle.status(&other, &serial, t), (Status::Good, t.minus(5)));
        let revoked = RevokedSet::from_entries([(serial, Reason::KeyCompromise)]);
        handle.publish(Snapshot::new(t.plus(1)).with(issuer, revoked));
        assert_eq!(handle.status(&issuer, &serial, t), (Status::Revoked(Reason::KeyCompromise), t.plus(1)));
    }
}
