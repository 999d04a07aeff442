//! What the CRLs of one issuing CA have to say: every entry encoded once, by shard.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::error::StoreError;
use crate::id::Serial;
use crate::revoke::{Acceptance, Cause, Revocation, RevocationChange};
use crate::time::UnixTime;
use crate::x509::ca::SHARDS;
use crate::x509::crl::{self, CRL_VALIDITY};

/// Filled from the projection, and brought forward by the revocation log.
#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<Shard>,
    /// Holds that were released, with the index of that record, until no CRL is left that has them.
    released: HashMap<Serial, u64>,
    dirty: BTreeSet<u16>,
    /// Size of the revocation log up to which every shard was published.
    followed: u64,
    /// Whether it was held against what was published before.
    pub(super) checked: bool,
    /// Size of the revocation log up to which it says everything.
    pub(super) cursor: u64,
}

/// One shard: its entries one after the other, and what each is.
#[derive(Clone, Debug, Default)]
pub(super) struct Shard {
    octets: Vec<u8>,
    kept: Vec<Kept>,
    /// Size of the revocation log at the last change.
    changed: u64,
}

/// An entry, beside its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) serial: Serial,
    /// When the certificate expires.
    pub(super) expires: UnixTime,
    len: u8,
    held: bool,
}

impl Kept {
    /// As it is read back: what an entry was, without its encoding.
    pub(super) const fn stored(serial: Serial, expires: UnixTime) -> Self {
        Self { serial, expires, len: 0, held: false }
    }

    /// What an entry, or none, says of its certificate.
    const fn accepts(entry: Option<Self>) -> Acceptance {
        match entry {
            None => Acceptance::Accepted,
            Some(Self { held: true, .. }) => Acceptance::Held,
            Some(_) => Acceptance::Revoked,
        }
    }

    /// An entry stays on one more CRL after its certificate expired (RFC 5280, 3.3).
    fn is_over(&self, now: UnixTime) -> bool {
        self.expires.plus(CRL_VALIDITY) < now
    }
}

impl Index {
    /// An index without entries, of a log followed up to `cursor`.
    pub(super) fn new(cursor: u64) -> Self {
        Self {
            shards: vec![Shard::default(); usize::from(SHARDS)],
            released: HashMap::new(),
            dirty: BTreeSet::new(),
            followed: cursor,
            checked: false,
            cursor,
        }
    }

    /// Takes what stands in the projection.
    ///
    /// # Errors
    /// If it is of a shard that there is not.
    pub(super) fn fill(&mut self, standing: &[(u64, Revocation)], now: UnixTime) -> Result<(), StoreError> {
        for (_, revocation) in standing {
            if revocation.expires.plus(CRL_VALIDITY) >= now {
                self.shard(revocation.shard)?.push(revocation);
            }
        }
        Ok(())
    }

    /// Applies the record of the log at the cursor. What was applied before changes nothing, but its
    /// shard is published again: a crash may have come before the CRL. `home` is the shard of the serial.
    ///
    /// # Errors
    /// If it is of a shard that there is not.
    pub(super) fn apply(&mut self, change: &RevocationChange, home: u16) -> Result<(), StoreError> {
        let (_, serial) = change.serial();
        let (number, revocation) = match change {
            RevocationChange::Revoked(revocation) => (revocation.shard, Some(revocation)),
            RevocationChange::Released { .. } => (home, None),
        };
        let shard = self.shard(number)?;
        let standing = shard.find(&serial);
        if Kept::accepts(standing.map(|(_, kept)| kept)).yields_to(change) {
            standing.into_iter().for_each(|(at, _)| shard.remove(at));
            revocation.into_iter().for_each(|revocation| shard.push(revocation));
        }
        self.cursor += 1;
        match revocation {
            Some(_) => self.released.remove(&serial),
            None => self.released.insert(serial, self.cursor),
        };
        self.touch(number)
    }

    /// Shards that changed and are not published.
    pub(super) const fn dirty(&self) -> &BTreeSet<u16> {
        &self.dirty
    }

    /// Says that this shard is to be published anew.
    pub(super) fn touch(&mut self, shard: u16) -> Result<(), StoreError> {
        let cursor = self.cursor;
        self.shard(shard)?.changed = cursor;
        self.dirty.insert(shard);
        Ok(())
    }

    /// Says that this shard was published as it was at `cursor`.
    pub(super) fn published(&mut self, shard: u16, cursor: u64) {
        if self.shard(shard).is_ok_and(|shard| shard.changed <= cursor) {
            self.dirty.remove(&shard);
        }
    }

    /// Says that every shard was published as it was at `cursor`.
    pub(super) fn followed(&mut self, cursor: u64) {
        self.followed = cursor;
        self.released.retain(|_, index| *index > cursor);
    }

    /// Size of the revocation log up to which every shard was published.
    pub(super) const fn followed_to(&self) -> u64 {
        self.followed
    }

    /// Whether a hold of this serial was released since every shard was published.
    pub(super) fn was_released(&self, serial: &Serial) -> bool {
        self.released.contains_key(serial)
    }

    /// The entries of one shard, or of all.
    pub(super) fn entries(&mut self, shard: Option<u16>, now: UnixTime) -> (Vec<u8>, Vec<Kept>) {
        let (mut octets, mut kept) = (Vec::new(), Vec::new());
        for (number, entries) in (0..).zip(&mut self.shards) {
            if shard.is_none_or(|shard| shard == number) {
                entries.expire(now);
                octets.extend_from_slice(&entries.octets);
                kept.extend_from_slice(&entries.kept);
            }
        }
        (octets, kept)
    }

    /// Serials that stand in one shard.
    pub(super) fn serials(&self, shard: u16) -> HashSet<Serial> {
        let entries = self.shards.get(usize::from(shard)).map(|shard| shard.kept.as_slice());
        entries.unwrap_or_default().iter().map(|kept| kept.serial).collect()
    }

    fn shard(&mut self, number: u16) -> Result<&mut Shard, StoreError> {
        let shard = self.shards.get_mut(usize::from(number));
        shard.ok_or_else(|| StoreError::Corrupt("a revocation of an unknown CRL shard".into()))
    }
}

impl Shard {
    fn push(&mut self, revocation: &Revocation) {
        let entry = crl::entry(revocation);
        self.octets.extend_from_slice(&entry);
        // A serial number, a time and a reason: far below 255 octets.
        let len = u8::try_from(entry.len()).unwrap_or(u8::MAX);
        let held = revocation.cause == Cause::Hold;
        self.kept.push(Kept { serial: revocation.serial, expires: revocation.expires, len, held });
    }

    fn find(&self, serial: &Serial) -> Option<(usize, Kept)> {
        self.kept.iter().copied().enumerate().find(|(_, kept)| kept.serial == *serial)
    }

    fn remove(&mut self, at: usize) {
        let before: usize = self.kept.iter().take(at).map(|kept| usize::from(kept.len)).sum();
        if at < self.kept.len() {
            let kept = self.kept.remove(at);
            self.octets.drain(before..before + usize::from(kept.len));
        }
    }

    fn expire(&mut self, now: UnixTime) {
        while let Some(at) = self.kept.iter().position(|kept| kept.is_over(now)) {
            self.remove(at);
        }
    }
}
