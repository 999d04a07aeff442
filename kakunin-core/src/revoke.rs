//! Revocation: reasons, the record of it, and the set that verifiers look into.

use core::fmt;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::agent::Note;
use crate::id::{AgentId, HaltId, IssuerId, Serial, SerialNumber};
use crate::key::KeyAlgorithm;
use crate::time::UnixTime;

/// Reason codes of RFC 5280, 5.3.1; 7 is unused, and 0 is written by leaving the extension out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// 0
    Unspecified,
    /// 1: the key leaked.
    KeyCompromise,
    /// 2: the issuer's key leaked.
    CaCompromise,
    /// 3
    AffiliationChanged,
    /// 4: replaced by a newer certificate.
    Superseded,
    /// 5: the agent was retired.
    CessationOfOperation,
    /// 6: suspended, and may be released.
    CertificateHold,
    /// 9: taken away for its behaviour, by an operator's stop or by a regulator.
    PrivilegeWithdrawn,
}

impl Reason {
    /// The CRLReason code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason with this code; `None` for one that RFC 5280 does not have, or that only deltas do.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            9 => Self::PrivilegeWithdrawn,
            _ => return None,
        })
    }
}

/// Who or what took the identity away; each maps to one [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The risk score crossed the threshold.
    RiskThresholdExceeded,
    /// Somebody pulled the kill switch.
    KillSwitchActivated,
    /// A regulator ordered it.
    RegulatoryOrder,
    /// The operator decided it.
    OperatorInitiated,
    /// The key leaked.
    KeyCompromise,
    /// A newer certificate took its place.
    Superseded,
    /// The agent was retired.
    Retired,
    /// Issuance was cut off before the certificate was recorded; the serial is refused for ever.
    Abandoned,
    /// The identity is suspended, and may be released.
    Hold,
    /// Whoever ordered it gave no reason.
    Unspecified,
    /// The issuer's key leaked.
    CaCompromise,
    /// The agent is another organization's now.
    AffiliationChanged,
    /// The agent is not needed any more.
    CessationOfOperation,
    /// It may not do any more what the certificate says.
    PrivilegeWithdrawn,
}

impl Cause {
    /// The reason code that relying parties see.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::RiskThresholdExceeded
            | Self::KillSwitchActivated
            | Self::RegulatoryOrder
            | Self::PrivilegeWithdrawn => Reason::PrivilegeWithdrawn,
            Self::OperatorInitiated | Self::Retired | Self::Abandoned | Self::CessationOfOperation => {
                Reason::CessationOfOperation
            }
            Self::Unspecified => Reason::Unspecified,
            Self::CaCompromise => Reason::CaCompromise,
            Self::AffiliationChanged => Reason::AffiliationChanged,
            Self::KeyCompromise => Reason::KeyCompromise,
            Self::Superseded => Reason::Superseded,
            Self::Hold => Reason::CertificateHold,
        }
    }
}

/// What whoever ordered it had to say, beside the cause: kept as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// The word or number that named the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// One identity that is no longer accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Revocation {
    /// Who issued the certificate.
    pub issuer: IssuerId,
    /// Which certificate.
    pub serial: Serial,
    /// Whose it was.
    pub agent: AgentId,
    /// When, by the log's time.
    pub at: UnixTime,
    /// Why.
    pub cause: Cause,
    /// When the certificate would have expired: until then the serial stays on CRLs.
    pub expires: UnixTime,
    /// Which of the issuer's CRL shards it stands on.
    pub shard: u16,
}

/// A stop that somebody ordered, as its receipt says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Halt {
    /// Identifier of this stop.
    pub id: HaltId,
    /// Why.
    pub cause: Cause,
    /// The certificate it took away, if the agent had one.
    pub serial: Option<Serial>,
    /// When, by the log's time.
    pub at: UnixTime,
}

/// The proof of a stop: an issuing CA's signature over [`Halt::receipt_text`]. Made once, at the stop.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// Key identifier of the CA that signed.
    pub issuer: IssuerId,
    /// The algorithm of its key; PKCS#1 v1.5 with SHA-256 for RSA.
    pub algorithm: KeyAlgorithm,
    /// The signature, in X.509 form, base64.
    pub signature: String,
}

impl Halt {
    /// What its receipt signs: `{agent}:{serial, or no-cert}:{when, RFC 3339}:{id of the stop}`.
    #[must_use]
    pub fn receipt_text(&self, agent: &AgentId) -> String {
        let serial = self.serial.map_or_else(|| "no-cert".to_owned(), |serial| serial.to_string());
        format!("{agent}:{serial}:{}:{}", self.at, self.id)
    }
}

/// One change of the revocation state, as an issuer's revocation log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum RevocationChange {
    /// The certificate is revoked or held.
    Revoked(Revocation),
    /// A hold was released: the certificate is accepted again.
    Released {
        /// Who issued the certificate.
        issuer: IssuerId,
        /// Which certificate.
        serial: Serial,
    },
}

impl RevocationChange {
    /// Which certificate changed.
    #[must_use]
    pub const fn serial(&self) -> (IssuerId, Serial) {
        match self {
            Self::Revoked(r) => (r.issuer, r.serial),
            Self::Released { issuer, serial } => (*issuer, *serial),
        }
    }
}

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
        let standing = self.reason(&serial);
        match (change, standing) {
            (RevocationChange::Revoked(r), None | Some(Reason::CertificateHold)) => {
                self.delta.insert(serial, Some(r.cause.reason()));
            }
            (RevocationChange::Released { .. }, Some(Reason::CertificateHold)) => {
                self.delta.insert(serial, None);
            }
            _ => {}
        }
        if self.delta.len() > MAX_DELTA.max(self.base.len() / 16) {
            self.merge();
        }
        self
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

/// Revoked serials of every issuer of one deployment, behind an atomic pointer: readers never wait.
#[derive(Debug, Default)]
pub struct LiveRevocations(ArcSwap<HashMap<IssuerId, RevokedSet>>);

impl LiveRevocations {
    /// What is known of a certificate: `Err` if the issuer is not one of this deployment.
    ///
    /// # Errors
    /// [`UnknownIssuer`].
    pub fn reason(&self, issuer: &IssuerId, serial: &SerialNumber) -> Result<Option<Reason>, UnknownIssuer> {
        self.0.load().get(issuer).map(|set| set.reason(serial)).ok_or(UnknownIssuer)
    }

    /// Replaces the set of one issuer.
    pub fn replace(&self, issuer: IssuerId, set: &RevokedSet) {
        self.0.rcu(|all| {
            let mut all = (**all).clone();
            all.insert(issuer, set.clone());
            all
        });
    }

    /// Applies one change of one issuer.
    pub fn apply(&self, change: &RevocationChange) {
        self.apply_all([change]);
    }

    /// Applies changes in their order; readers see all of them, or none.
    pub fn apply_all<'c>(&self, changes: impl IntoIterator<Item = &'c RevocationChange> + Clone) {
        self.0.rcu(|all| {
            let mut all = (**all).clone();
            for change in changes.clone() {
                let (issuer, _) = change.serial();
                let set = all.remove(&issuer).unwrap_or_default();
                all.insert(issuer, set.with(change));
            }
            all
        });
    }
}

/// The issuer is not one whose revocations are known here, so nothing of it may be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revocations of this issuer are not known here")]
pub struct UnknownIssuer;

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(n: u64) -> Serial {
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

    fn revoked(n: u64, cause: Cause) -> RevocationChange {
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

    #[test]
    fn an_unknown_issuer_is_an_error_not_an_absence() {
        let live = LiveRevocations::default();
        let issuer = IssuerId::from_bytes([1; 20]);
        assert_eq!(live.reason(&issuer, &serial(1)), Err(UnknownIssuer));
        live.replace(issuer, &RevokedSet::default());
        assert_eq!(live.reason(&issuer, &serial(1)), Ok(None));
        live.apply(&revoked(1, Cause::Retired));
        assert_eq!(live.reason(&issuer, &serial(1)), Ok(Some(Reason::CessationOfOperation)));
    }
}
