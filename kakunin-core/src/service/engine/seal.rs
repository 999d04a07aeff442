//! What stands in the state of a log, under a seal that only this deployment's log key can make: who writes
//! the store by other means changes, adds, takes away or puts back no row unnoticed.
//!
//! The seal is a MAC over the log, the frontier that the rows follow from, and the sum of the MACs of the rows
//! (a keyed multiset hash; the sum itself is never stored). It is written in the transaction that writes the
//! rows. Rows and seal that were put back together are an older state and say so: replay goes on from there.
//! Rows outside the set carry a MAC each, at the end of their value: those that are written once, or with
//! every event, or taken away by whoever did what they ask for. So do those of the set that are read without
//! waiting for whoever knows the set.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::StoreError;
use crate::key::Signer;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, Hash};
use crate::service::error::Error;
use crate::service::state::own;
use crate::service::state::system::rows::TABLES;
use crate::store::state::{Change, Kind};

/// What the log key signs so that the key of the seals follows from it. Checkpoints begin with a host.
const DERIVATION: &[u8] = b"kakunin: the key of seals of stored state, 1";
/// Octets of a MAC at the end of a value.
const TAG: usize = 16;

/// Rows of [`Kind::Seal`]: over the rows of a log, and over the last snapshot of its risk histories.
pub(crate) const ROWS: &[u8] = b"rows";
pub(crate) const HISTORIES: &[u8] = b"histories";

/// What seals are made with. It follows from the log key, and lies nowhere.
#[derive(Clone)]
pub(crate) struct SealKey(Hmac<Sha256>);

impl SealKey {
    /// Derives it: Ed25519 signs the same text alike each time (RFC 8032).
    pub(crate) async fn derive(log_signer: &dyn Signer) -> Result<Self, Error> {
        let signature = log_signer.sign(DERIVATION).await?;
        if log_signer.sign(DERIVATION).await?.as_bytes() != signature.as_bytes() {
            return Err(Error::Deployment(
                "the log key signs the same text in two ways; it must be an Ed25519 key (RFC 8032)".into(),
            ));
        }
        let mac = Hmac::new_from_slice(signature.as_bytes());
        Ok(Self(mac.map_err(|_| Error::Deployment("the log key gives no key of seals".into()))?))
    }

    fn mac(&self, domain: u8, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(&[domain]);
        for part in parts {
            // Each with its length: no two lists of parts are the same octets.
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The MAC of a row.
    pub(crate) fn row(&self, log: &str, kind: Kind, key: &[u8], value: &[u8]) -> u128 {
        u128::from_be_bytes(head(self.mac(b'r', &[log.as_bytes(), &[kind.code()], key, value])))
    }

    /// The value with its MAC at its end.
    fn close(&self, log: &str, kind: Kind, key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
        let tag: [u8; TAG] = head(self.mac(b'v', &[log.as_bytes(), &[kind.code()], key, &value]));
        value.extend(tag);
        value
    }

    /// The key that a secret of this name in the vault is encrypted under.
    pub(super) fn of_secret(&self, name: &[u8]) -> [u8; 32] {
        self.mac(b'w', &[name])
    }

    /// The key that payloads of a log are encrypted under, but those of events.
    pub(super) fn of_payloads(&self, log: &LogId) -> [u8; 32] {
        self.mac(b'p', &[log.to_string().as_bytes()])
    }

    /// The key that rows of a log which hold names are encrypted under.
    pub(super) fn of_rows(&self, log: &LogId) -> [u8; 32] {
        self.mac(b'n', &[log.to_string().as_bytes()])
    }

    /// What such a row is encrypted with, which follows from what it says and where.
    pub(super) fn row_nonce(&self, log: &LogId, place: &[u8], value: &[u8]) -> [u8; 24] {
        head(self.mac(b'o', &[log.to_string().as_bytes(), place, value]))
    }

    /// The change with the MAC of its value, for what is written beside the log.
    pub(crate) fn tagged(&self, log: &LogId, change: Change) -> Change {
        Rows::new(self.clone(), log.clone()).tagged(change)
    }

    /// The value without its MAC, if that is right.
    pub(crate) fn open(&self, log: &str, kind: Kind, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let (value, tag) = value.split_last_chunk::<TAG>()?;
        let made: [u8; TAG] = head(self.mac(b'v', &[log.as_bytes(), &[kind.code()], key, value]));
        same(&made, tag).then(|| value.to_vec())
    }

    /// The value without its MAC, for who holds the row against the seal of its log.
    pub(crate) fn bare(value: &[u8]) -> Option<&[u8]> {
        Some(value.split_last_chunk::<TAG>()?.0)
    }
}

impl core::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

/// Whether rows of this kind count in the seal of their log. They follow from records that are not events.
pub(crate) fn counts(log: &LogId, kind: Kind) -> bool {
    match (log, kind) {
        (LogId::Tenant(_), kind) => {
            matches!(kind, Kind::Agent | Kind::Standing) || own::TABLES.contains(&kind)
        }
        (LogId::System, kind) => kind == Kind::CrlMark || TABLES.contains(&kind),
        _ => false,
    }
}

/// Whether such a row carries a MAC of its own.
pub(super) fn carries(log: &LogId, kind: Kind) -> bool {
    match (log, kind) {
        (LogId::Tenant(_), kind) if counts(log, kind) => true,
        (LogId::Tenant(_), Kind::Certificate | Kind::Plan | Kind::Dedup | Kind::Inbox) => true,
        (LogId::Tenant(_), Kind::Cursor | Kind::Delivery | Kind::ReadMark | Kind::Index) => true,
        // What was published, and how far; marks count instead.
        (LogId::System, Kind::Cursor | Kind::Crl) => true,
        _ => false,
    }
}

/// Kind and key of a row.
pub(crate) type RowKey = (Kind, Vec<u8>);

/// The rows of one log that count, as far as they are known here: a MAC each, and the sum.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    key: SealKey,
    log: LogId,
    name: String,
    known: HashMap<RowKey, u128>,
    sum: u128,
}

/// Changes as they are stored, the new seal among them; and what they make of [`Rows`].
pub(crate) struct Sealing {
    pub(crate) changes: Vec<Change>,
    rows: HashMap<RowKey, Option<u128>>,
    sum: u128,
}

impl Sealing {
    /// Whether no row that counts is among them.
    pub(crate) fn is_but_a_seal(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Rows {
    pub(crate) fn new(key: SealKey, log: LogId) -> Self {
        let name = log.to_string();
        Self { key, log, name, known: HashMap::new(), sum: 0 }
    }

    /// Takes a row as it is stored.
    pub(crate) fn add(&mut self, kind: Kind, key: Vec<u8>, value: &[u8]) {
        let mac = self.key.row(&self.name, kind, &key, value);
        self.sum = self.sum.wrapping_add(mac);
        if let Some(before) = self.known.insert((kind, key), mac) {
            self.sum = self.sum.wrapping_sub(before);
        }
    }

    /// Whether there is such a row.
    pub(crate) fn knows(&self, kind: Kind, key: &[u8]) -> bool {
        self.known.contains_key(&(kind, key.to_vec()))
    }

    /// Rows that are not alike here and there.
    pub(crate) fn differing(&self, other: &Self) -> Vec<RowKey> {
        let ours = self.known.iter().filter(|(row, mac)| other.known.get(*row) != Some(mac));
        let theirs = other.known.keys().filter(|row| !self.known.contains_key(*row));
        let mut all: Vec<_> = ours.map(|(row, _)| row).chain(theirs).cloned().collect();
        all.sort_unstable();
        all
    }

    /// Seals these changes, which follow from the records below `head`.
    pub(crate) fn seal(&self, changes: Vec<Change>, head: &Frontier) -> Sealing {
        let mut sealing = Sealing { changes: Vec::new(), rows: HashMap::new(), sum: self.sum };
        for change in changes.into_iter().map(|change| self.tagged(change)) {
            if counts(&self.log, change.kind) {
                self.count(&mut sealing, &change);
            }
            sealing.changes.push(change);
        }
        if !sealing.rows.is_empty() {
            sealing.changes.push(self.seal_row(head, sealing.sum));
        }
        sealing
    }

    /// As [`Rows::seal`], with a new seal in any case.
    pub(crate) fn seal_anew(&self, changes: Vec<Change>, head: &Frontier) -> Sealing {
        let mut sealing = self.seal(changes, head);
        if sealing.rows.is_empty() {
            sealing.changes.push(self.seal_row(head, sealing.sum));
        }
        sealing
    }

    fn count(&self, sealing: &mut Sealing, change: &Change) {
        let row = (change.kind, change.key.clone());
        let before = sealing.rows.get(&row).copied().unwrap_or_else(|| self.known.get(&row).copied());
        let after = change.value.as_ref().map(|value| self.key.row(&self.name, row.0, &row.1, value));
        sealing.sum =
            sealing.sum.wrapping_sub(before.unwrap_or_default()).wrapping_add(after.unwrap_or_default());
        sealing.rows.insert(row, after);
    }

    /// The value of a row that goes to another place, with its MAC for that; as it is, if it has none for where it was.
    pub(crate) fn moved(&self, value: &[u8], from: (Kind, &[u8]), to: (Kind, &[u8])) -> Vec<u8> {
        match self.key.open(&self.name, from.0, from.1, value) {
            Some(bare) => self.key.close(&self.name, to.0, to.1, bare),
            None => value.to_vec(),
        }
    }

    fn tagged(&self, change: Change) -> Change {
        if !carries(&self.log, change.kind) {
            return change;
        }
        let value = change.value.map(|value| self.key.close(&self.name, change.kind, &change.key, value));
        Change { value, ..change }
    }

    /// The changes are durable.
    pub(crate) fn take(&mut self, sealing: Sealing) {
        self.sum = sealing.sum;
        for (row, mac) in sealing.rows {
            match mac {
                Some(mac) => _ = self.known.insert(row, mac),
                None => _ = self.known.remove(&row),
            }
        }
    }

    fn seal_row(&self, head: &Frontier, sum: u128) -> Change {
        let value = Some(self.key.over(&self.name, ROWS, head, sum));
        Change { kind: Kind::Seal, key: ROWS.to_vec(), value }
    }

    /// Which records these rows follow from, if the seal is theirs.
    pub(crate) fn follow_from(&self, seal: &[u8]) -> Option<Frontier> {
        self.key.read(&self.name, ROWS, seal, self.sum)
    }

    /// Nothing is known any more.
    pub(crate) fn cleared(&self) -> Self {
        Self::new(self.key.clone(), self.log.clone())
    }
}

impl SealKey {
    /// The seal over rows with this sum: `size (8) || subtree roots || MAC (32)`.
    pub(super) fn over(&self, log: &str, what: &[u8], head: &Frontier, sum: u128) -> Vec<u8> {
        let mut octets = head.size().to_be_bytes().to_vec();
        head.roots().iter().for_each(|root| octets.extend(root));
        let mac = self.mac(b's', &[log.as_bytes(), what, &octets, &sum.to_be_bytes()]);
        octets.extend(mac);
        octets
    }

    /// Which records such rows follow from, if the seal is theirs.
    pub(crate) fn read(&self, log: &str, what: &[u8], seal: &[u8], sum: u128) -> Option<Frontier> {
        let (octets, tag) = seal.split_last_chunk::<32>()?;
        let made = self.mac(b's', &[log.as_bytes(), what, octets, &sum.to_be_bytes()]);
        let (size, roots) = octets.split_first_chunk::<8>()?;
        let roots: Vec<Hash> = roots.chunks_exact(32).filter_map(|c| c.try_into().ok()).collect();
        Frontier::from_parts(u64::from_be_bytes(*size), roots).filter(|_| same(&made, tag))
    }
}

/// A log whose leaves do not lead to its signed head.
pub(crate) fn altered(log: &LogId) -> StoreError {
    StoreError::Corrupt(format!("records of log {log} are not the ones that its checkpoint signed"))
}

fn head<const N: usize>(mac: [u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
    out
}

fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && core::hint::black_box(difference) == 0
}
