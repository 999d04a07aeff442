//! A CRL as it was published: served, renewed, and held against the next one, also across restarts.

use std::sync::Arc;

use super::index::Kept;
use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::service::state::crl_mark::{Mark, coverage};
use crate::store::state::{Change, Kind};
use crate::time::{SECOND, UnixTime};
use crate::x509::crl::{self, BACKDATE};

/// How old a full CRL may be although something was revoked since: it can be large, and signing it for every
/// revocation would cost more than revoking.
pub const FULL_CRL_AGE: u64 = 30 * SECOND;
/// How many entries make it that large.
const LARGE: u64 = 100_000;

/// A CRL as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedCrl {
    /// The CRL.
    pub der: Vec<u8>,
    /// cRLNumber.
    pub number: u64,
    /// When it was made.
    pub at: UnixTime,
    /// thisUpdate: [`crate::issue::BACKDATE`] before it was made, or less if several were made within a second.
    pub this_update: UnixTime,
    /// nextUpdate.
    pub next_update: UnixTime,
    /// Size of the revocation log up to which it says everything.
    pub(super) cursor: u64,
    /// SHA-256 of its entries.
    pub(super) content: [u8; 32],
    /// Its entries, if it is a shard.
    pub(super) kept: Arc<[Kept]>,
    /// How many they are.
    pub(super) entries: u64,
}

impl PublishedCrl {
    /// What the next one with this coverage is to be above.
    pub(super) fn mark(&self) -> Mark {
        Mark { number: self.number, this_update: self.this_update }
    }

    /// Whether it is far from its end.
    pub(super) fn fresh(&self, now: UnixTime) -> bool {
        now.plus(self.next_update.since(self.at) / 2) < self.next_update && !self.der.is_empty()
    }

    /// Whether a full one may be served although it lacks what was revoked since.
    pub(super) fn young(&self, now: UnixTime) -> bool {
        // One from the future is of a clock that was wrong.
        self.at <= now && now.since(self.at) < FULL_CRL_AGE * self.entries.min(LARGE) / LARGE
    }

    /// The row that keeps it. Of a full CRL, which can be large, the row keeps what the next one is held
    /// against, and not the CRL.
    pub(super) fn row(&self, issuer: &IssuerId, shard: Option<u16>) -> Change {
        let der = if self.keeps_der(shard) { self.der.as_slice() } else { &[] };
        let mut value = Vec::with_capacity(der.len() + self.kept.len() * 24 + 80);
        for n in [self.number, self.at.millis(), self.next_update.millis(), self.cursor, self.entries] {
            value.extend_from_slice(&n.to_be_bytes());
        }
        value.extend_from_slice(&self.content);
        value.extend_from_slice(&u64::try_from(der.len()).unwrap_or(u64::MAX).to_be_bytes());
        value.extend_from_slice(der);
        for kept in self.kept.iter() {
            value.extend_from_slice(kept.serial.as_bytes());
            value.extend_from_slice(&kept.expires.millis().to_be_bytes());
        }
        Change { kind: Kind::Crl, key: key(issuer, shard), value: Some(value) }
    }

    pub(super) fn keeps_der(&self, shard: Option<u16>) -> bool {
        // That of a root is small, and may have been brought from elsewhere.
        shard.is_some() || self.entries == 0
    }

    /// Reads a row back.
    pub(super) fn from_row(value: &[u8]) -> Result<Self, StoreError> {
        read(value).ok_or_else(|| StoreError::Corrupt("a published CRL does not decode".into()))
    }
}

fn read(value: &[u8]) -> Option<PublishedCrl> {
    let mut rest = value;
    let mut numbers = [0; 5];
    for n in &mut numbers {
        *n = u64::from_be_bytes(*take(&mut rest)?);
    }
    let content = *take(&mut rest)?;
    let len = usize::try_from(u64::from_be_bytes(*take(&mut rest)?)).ok()?;
    let (der, mut rest) = rest.split_at_checked(len)?;
    let mut kept = Vec::with_capacity(rest.len() / 24);
    while !rest.is_empty() {
        let serial = Serial::from_bytes(*take(&mut rest)?)?;
        kept.push(Kept::stored(serial, UnixTime::from_millis(u64::from_be_bytes(*take(&mut rest)?))));
    }
    let [number, at, next_update, cursor, entries] = numbers;
    Some(PublishedCrl {
        der: der.to_vec(),
        number,
        at: UnixTime::from_millis(at),
        // Where the CRL was not kept, the row of its mark has it.
        this_update: crl::this_update(der).unwrap_or(UnixTime::from_millis(at).minus(BACKDATE)).whole_secs(),
        next_update: UnixTime::from_millis(next_update),
        cursor,
        content,
        kept: kept.into(),
        entries,
    })
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(head)
}

/// What rows of an issuer's published CRLs begin with.
pub(super) fn prefix(issuer: &IssuerId) -> String {
    format!("{issuer}/")
}

pub(super) fn key(issuer: &IssuerId, shard: Option<u16>) -> Vec<u8> {
    (prefix(issuer) + &coverage(shard)).into_bytes()
}

/// Which shard a row is of.
pub(super) fn shard_of(issuer: &IssuerId, key: &[u8]) -> Option<Option<u16>> {
    let shard = core::str::from_utf8(key).ok()?.strip_prefix(&prefix(issuer))?.to_owned();
    if shard == "full" { Some(None) } else { shard.parse().ok().map(Some) }
}
