//! What is known of revocations: a look-up in an immutable set, and how old that set is.

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::revoke::{LiveRevocations, Reason, RevokedSet};
use kakunin_core::time::UnixTime;

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
    /// answers `now`.
    fn status(&self, issuer: &IssuerId, serial: &Serial, now: UnixTime) -> (Status, UnixTime);
}

/// In process with the service that revokes: always current.
impl RevocationView for LiveRevocations {
    fn status(&self, issuer: &IssuerId, serial: &Serial, now: UnixTime) -> (Status, UnixTime) {
        let status = match self.reason(issuer, serial) {
            Ok(None) => Status::Good,
            Ok(Some(reason)) => Status::Revoked(reason),
            Err(_) => Status::Unknown,
        };
        (status, now)
    }
}

impl<V: RevocationView + ?Sized> RevocationView for Arc<V> {
    fn status(&self, issuer: &IssuerId, serial: &Serial, now: UnixTime) -> (Status, UnixTime) {
        (**self).status(issuer, serial, now)
    }
}

/// The revocations of some issuers at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    sets: HashMap<IssuerId, RevokedSet>,
    as_of: UnixTime,
}

impl Snapshot {
    /// An empty snapshot, complete as of that moment.
    #[must_use]
    pub fn new(as_of: UnixTime) -> Self {
        Self { sets: HashMap::new(), as_of }
    }

    /// With the revocations of one more issuer; an empty set says that none is revoked.
    #[must_use]
    pub fn with(mut self, issuer: IssuerId, set: RevokedSet) -> Self {
        self.sets.insert(issuer, set);
        self
    }

    /// The same revocations, known to be complete as of a later moment.
    #[must_use]
    pub const fn confirmed(mut self, as_of: UnixTime) -> Self {
        self.as_of = as_of;
        self
    }

    /// As of when this snapshot is complete.
    #[must_use]
    pub const fn as_of(&self) -> UnixTime {
        self.as_of
    }

    /// The revocations of one issuer.
    #[must_use]
    pub fn set(&self, issuer: &IssuerId) -> Option<&RevokedSet> {
        self.sets.get(issuer)
    }
}

impl RevocationView for Snapshot {
    fn status(&self, issuer: &IssuerId, serial: &Serial, _: UnixTime) -> (Status, UnixTime) {
        let status = match self.sets.get(issuer).map(|set| set.reason(serial)) {
            Some(None) => Status::Good,
            Some(Some(reason)) => Status::Revoked(reason),
            None => Status::Unknown,
        };
        (status, self.as_of)
    }
}

/// Where a feed publishes snapshots, and verifiers read them. Clones share one state.
///
/// It starts out empty and as old as time, so that everything is denied until the first snapshot.
#[derive(Clone, Debug, Default)]
pub struct RevocationHandle(Arc<ArcSwap<Snapshot>>);

impl RevocationHandle {
    /// Replaces the snapshot; verifiers see it with their next look-up. One that is older than the
    /// current one is passed over, so that a late arrival never brings a revoked identity back.
    pub fn publish(&self, snapshot: Snapshot) {
        let snapshot = Arc::new(snapshot);
        self.0.rcu(|current| if current.as_of > snapshot.as_of { current.clone() } else { snapshot.clone() });
    }

    /// The current snapshot.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }
}

impl RevocationView for RevocationHandle {
    fn status(&self, issuer: &IssuerId, serial: &Serial, now: UnixTime) -> (Status, UnixTime) {
        self.0.load().status(issuer, serial, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        handle.publish((*handle.current()).clone().confirmed(t.plus(1)));
        assert_eq!(handle.status(&issuer, &serial, t), (Status::Revoked(Reason::KeyCompromise), t.plus(1)));
    }
}
