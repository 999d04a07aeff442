//! Number and thisUpdate of a CRL. Both grow strictly, whole seconds at least: there are relying parties that tell
//! the newer CRL by its thisUpdate (NSS keeps the one that it has if they are equal).

use crate::id::IssuerId;
use crate::store::state::{Change, Kind};
use crate::time::{SECOND, UnixTime};
use crate::x509::crl::BACKDATE;

/// What a CRL is told from those before it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// cRLNumber.
    pub(crate) number: u64,
    /// thisUpdate.
    pub(crate) this_update: UnixTime,
}

impl Mark {
    /// The mark of the next CRL, made at `now`. thisUpdate lies [`BACKDATE`] back, and after many CRLs within a
    /// second less.
    pub(crate) fn next(self, now: UnixTime) -> Self {
        let second_later = self.this_update.whole_secs().plus(SECOND);
        Self {
            number: self.number.saturating_add(1).max(now.secs()),
            // Nothing was published before.
            this_update: now.minus(BACKDATE).whole_secs().max(if self == Self::default() {
                UnixTime::default()
            } else {
                second_later
            }),
        }
    }

    /// Above this one and that one.
    pub(crate) fn max(self, other: Self) -> Self {
        Self { number: self.number.max(other.number), this_update: self.this_update.max(other.this_update) }
    }

    /// Whether this may follow `last`.
    pub(crate) fn is_above(self, last: Self) -> bool {
        self.number > last.number && self.this_update.whole_secs() > last.this_update.whole_secs()
    }

    /// When a CRL with this mark ends that is made at `now` for so long.
    pub(crate) fn until(self, now: UnixTime, validity: u64) -> UnixTime {
        self.this_update.max(now).plus(validity)
    }

    /// Reads a row; those from before thisUpdate was kept are the number alone.
    pub(crate) fn from_row(octets: &[u8]) -> Option<Self> {
        let (number, rest) = octets.split_first_chunk()?;
        let millis = if rest.is_empty() { [0; 8] } else { rest.try_into().ok()? };
        let this_update = UnixTime::from_millis(u64::from_be_bytes(millis));
        Some(Self { number: u64::from_be_bytes(*number), this_update })
    }
}

/// The row that keeps the mark of a CRL: its own row may be lost, or lack the CRL. It is under the seal of the log, so
/// that an older CRL that is put back is told by it.
pub(crate) fn mark_row(issuer: &IssuerId, shard: Option<u16>, mark: Mark) -> Change {
    let value = [mark.number, mark.this_update.millis()].map(u64::to_be_bytes).concat();
    Change { kind: Kind::CrlMark, key: mark_key(issuer, shard), value: Some(value) }
}

pub(crate) fn mark_key(issuer: &IssuerId, shard: Option<u16>) -> Vec<u8> {
    format!("{issuer}/{}", coverage(shard)).into_bytes()
}

/// `full`, or the number of the shard.
pub(crate) fn coverage(shard: Option<u16>) -> String {
    shard.map_or_else(|| "full".to_owned(), |shard| shard.to_string())
}
