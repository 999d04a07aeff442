//! The set of what one issuer revoked, for verifiers.

use core::fmt;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::reason::Reason;
use super::record::RevocationChange;
use super::rule::Acceptance;
use crate::id::SerialNumber;

/// A serial drawn at random by our own CA hashes to its own last octets; counting ones are spread as well. Only for
/// what a CA that is trusted signed: never use this for keys that somebody else chose.
#[derive(Clone, Copy, Default)]
struct SerialHasher(u64);

impl Hasher for SerialHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // The last octets: the top bits of the first are fixed. Lengths written before them are short.
        if let Some(tail) = bytes.last_chunk::<8>() {
            // Tables look at the lowest bits and at the highest.
            self.0 = u64::from_be_bytes(*tail).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_usize(&mut self, _: usize) {}
}

type SerialMap = HashMap<SerialNumber, Reason, BuildHasherDefault<SerialHasher>>;

/// An immutable set of one issuer's revoked and held serials.
///
/// A large base that is shared between versions, and a small delta of what came since, so that one
/// more revocation among millions copies a few kilobytes.
#[derive(Clone, Default)]
pub struct RevokedSet {
    base: Arc<SerialMap>,
    delta: HashMap<SerialNumber, Option<Reason>, BuildHasherDefault<SerialHasher>>,
}

// Above this the delta is merged: merging a million entries takes tens of milliseconds, so it must be rare.
const MAX_DELTA: usize = 4_096;

impl RevokedSet {
    /// A set of these serials.
    #[must_use]
    pub fn from_entries<S: Into<SerialNumber>>(entries: impl IntoIterator<Item = (S, Reason)>) -> Self {
        let entries = entries.into_iter().map(|(serial, reason)| (serial.into(), reason));
        Self { base: Arc::new(entries.collect()), delta: HashMap::default() }
    }

    /// Why `serial` is refused, or `None` if it is not.
    #[must_use]
    pub fn reason(&self, serial: &SerialNumber) -> Option<Reason> {
        if !self.delta.is_empty()
            && let Some(change) = self.delta.get(serial)
        {
            return *change;
        }
        self.base.get(serial).copied()
    }

    /// The set after one more change; the first revocation wins, and only a hold can be released.
    #[must_use]
    pub fn with(mut self, change: &RevocationChange) -> Self {
        let serial = SerialNumber::from(change.serial().1);
        if Acceptance::from(self.reason(&serial)).yields_to(change) {
            let reason = match change {
                RevocationChange::Revoked(r) => Some(r.cause.reason()),
                RevocationChange::Released { .. } => None,
            };
            self.delta.insert(serial, reason);
        }
        if self.delta.len() > MAX_DELTA.max(self.base.len() / 16) {
            self.merge();
        }
        self
    }

    /// What is refused by this set or by `other`; a hold in one gives way to what the other says.
    #[must_use]
    pub fn joined(mut self, mut other: Self) -> Self {
        self.merge();
        other.merge();
        let mut base = (*self.base).clone();
        for (serial, reason) in &*other.base {
            let standing = base.entry(*serial).or_insert(*reason);
            if *standing == Reason::CertificateHold {
                *standing = *reason;
            }
        }
        Self { base: Arc::new(base), delta: HashMap::default() }
    }

    fn merge(&mut self) {
        let mut base = (*self.base).clone();
        for (serial, change) in self.delta.drain() {
            match change {
                Some(reason) => base.insert(serial, reason),
                None => base.remove(&serial),
            };
        }
        self.base = Arc::new(base);
    }
}

impl fmt::Debug for RevokedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevokedSet({} + {} changes)", self.base.len(), self.delta.len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::reason::Cause;
    use super::super::record::Revocation;
    use super::*;
    use crate::id::{AgentId, IssuerId, Serial};
    use crate::time::UnixTime;

    pub(in crate::revoke) fn serial(n: u64) -> Serial {
        let mut bytes = [0x40; 16];
        bytes[8..].copy_from_slice(&n.to_be_bytes());
        Serial::from_bytes(bytes).unwrap()
    }

    #[test]
    fn serials_that_count_fill_a_table_evenly() {
        use std::collections::HashSet;
        use std::hash::{BuildHasher, BuildHasherDefault};
        let hashes: Vec<u64> =
            (0..4_096).map(|n| BuildHasherDefault::<SerialHasher>::default().hash_one(serial(n))).collect();
        let buckets: HashSet<u64> = hashes.iter().map(|hash| hash % 4_096).collect();
        let tags: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert_eq!((buckets.len(), tags.len()), (4_096, 128));
    }

    pub(in crate::revoke) fn revoked(n: u64, cause: Cause) -> RevocationChange {
        RevocationChange::Revoked(Revocation {
            issuer: IssuerId::from_bytes([1; 20]),
            serial: serial(n),
            agent: AgentId::from_bytes([2; 16]),
            at: UnixTime::default(),
            cause,
            expires: UnixTime::default(),
            shard: 0,
        })
    }

    fn released(n: u64) -> RevocationChange {
        RevocationChange::Released { issuer: IssuerId::from_bytes([1; 20]), serial: serial(n) }
    }

    #[test]
    fn first_reason_wins_and_only_a_hold_is_released() {
        let set = RevokedSet::default()
            .with(&revoked(1, Cause::KeyCompromise))
            .with(&revoked(1, Cause::Superseded))
            .with(&released(1))
            .with(&revoked(2, Cause::Hold))
            .with(&released(2))
            .with(&revoked(3, Cause::Hold))
            .with(&revoked(3, Cause::RegulatoryOrder))
            .with(&released(3));
        assert_eq!(set.reason(&serial(1)), Some(Reason::KeyCompromise));
        assert_eq!(set.reason(&serial(2)), None);
        assert_eq!(set.reason(&serial(3)), Some(Reason::PrivilegeWithdrawn));
    }

    #[test]
    fn merging_changes_nothing() {
        let count = u64::try_from(MAX_DELTA).unwrap() * 2;
        let set = (0..count).fold(RevokedSet::default(), |set, n| set.with(&revoked(n, Cause::Hold)));
        let set = (0..count).step_by(2).fold(set, |set, n| set.with(&released(n)));
        for n in 0..count {
            let expected = (n % 2 == 1).then_some(Reason::CertificateHold);
            assert_eq!(set.reason(&serial(n)), expected, "{n}");
        }
    }
}
