//! What holds after every fault: each acknowledged event is present once, in order; the log verifies, and is what it was and
//! more; what was revoked is revoked, wherever one asks.

use std::collections::{BTreeMap, BTreeSet};

use kakunin_core::id::Serial;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::RevocationChange;
use kakunin_core::service::Damage;
use pollster::block_on;

use crate::world::World;

/// What somebody was told, and what the logs were when they were last looked at.
#[derive(Clone, Default)]
pub(crate) struct Witness {
    /// Index of each acknowledged event, by stream and number.
    acknowledged: BTreeMap<(u64, u64), u64>,
    /// Those that were not looked for yet.
    new: Vec<((u64, u64), u64)>,
    revocations: BTreeSet<Serial>,
    logs: BTreeMap<LogId, Frontier>,
    /// Index of each event on record, by stream and number.
    recorded: BTreeMap<(u64, u64), u64>,
    revoked: BTreeSet<Serial>,
    copied: BTreeSet<Serial>,
}

impl Witness {
    /// One line of a client: `event <stream> <number> <index>`, or `revoked <serial>`. What is cut off was not heard.
    pub(crate) fn hears(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["event", stream, seq, index] => {
                let [stream, seq, index] = [stream, seq, index].map(|number| number.parse().unwrap());
                let before = self.acknowledged.insert((stream, seq), index);
                assert!(before.is_none_or(|before| before == index), "{line}, and before that {before:?}");
                self.new.push(((stream, seq), index));
            }
            ["revoked", serial] => _ = self.revocations.insert(serial.parse().unwrap()),
            _ => {}
        }
    }

    /// The number that a client goes on with.
    pub(crate) fn next(&self, stream: u64) -> u64 {
        let last = self.acknowledged.range((stream, 0)..=(stream, u64::MAX)).next_back();
        last.map_or(0, |((_, seq), _)| seq + 1)
    }

    /// How many events and revocations were acknowledged.
    pub(crate) fn heard(&self) -> (usize, usize) {
        (self.acknowledged.len(), self.revocations.len())
    }

    /// Whether it is on record that this certificate is revoked, acknowledged or not.
    pub(crate) fn is_revoked(&self, serial: &Serial) -> bool {
        self.revoked.contains(serial)
    }

    /// One that was told the same, and has seen nothing yet.
    pub(crate) fn afresh(&self) -> Self {
        let (acknowledged, revocations) = (self.acknowledged.clone(), self.revocations.clone());
        let new = acknowledged.iter().map(|(event, index)| (*event, *index)).collect();
        Self { acknowledged, revocations, new, ..Self::default() }
    }

    /// Looks at what was added since the last time. What was there before is held to it by the root.
    pub(crate) fn check(&mut self, w: &World) {
        for log in block_on(w.parts.sink.logs()).unwrap() {
            for (index, entry) in self.grown(w, &log) {
                let record = Record::open(&entry).unwrap();
                if log == w.tenant_log() {
                    self.take(index, &record);
                } else if let Body::Control(control) = &record.body
                    && let Control::RevocationChanged(RevocationChange::Revoked(of)) = &**control
                {
                    assert!(self.copied.insert(of.serial), "{} was copied twice", of.serial);
                }
            }
        }
        for (event, index) in self.new.drain(..) {
            assert_eq!(self.recorded.get(&event), Some(&index), "the event {event:?} was acknowledged");
        }
        assert!(self.revocations.is_subset(&self.revoked), "each acknowledged revocation is on record");
        assert_eq!(self.revoked, self.copied, "in both logs or in neither");
        let issuer = w.kakunin.issuer().id();
        for serial in &self.revoked {
            assert!(w.kakunin.revocations().reason(&issuer, serial).unwrap().is_some(), "{serial} is live");
            assert!(block_on(w.parts.revocations.find(&issuer, serial)).unwrap().is_some(), "{serial}");
        }
        assert_eq!(w.kakunin.damage(), Damage::default());
    }

    /// The new entries of a log, which lead from the tree that was seen before to the one that is signed.
    fn grown(&mut self, w: &World, log: &LogId) -> Vec<(u64, Entry)> {
        let (head, note) = block_on(w.parts.sink.head(log)).unwrap();
        let tree = self.logs.entry(log.clone()).or_default();
        let entries = block_on(w.kakunin.read_log(log, tree.size(), usize::MAX)).unwrap();
        let first = tree.size();
        entries.iter().for_each(|entry| tree.push(leaf_hash(&entry.leaf)));
        assert_eq!(*tree, head.frontier, "{log} is what it was, and more");
        let note = note.unwrap();
        // Whose signature it is, was looked at when the deployment was opened.
        let signed = Checkpoint::parse(&note[..=note.find("\n\n").unwrap()]).unwrap();
        assert_eq!((signed.size, signed.root), (tree.size(), tree.root()), "{log}");
        (first..).zip(entries).collect()
    }

    fn take(&mut self, index: u64, record: &Record) {
        match &record.body {
            Body::Event(act, _) => {
                let (stream, seq) = act.stream.unwrap();
                let last = self.recorded.range((stream, 0)..=(stream, u64::MAX)).next_back();
                let next = last.map_or(0, |((_, seq), _)| seq + 1);
                assert_eq!(seq, next, "record {index}: each number of stream {stream} once, in order");
                self.recorded.insert((stream, seq), index);
            }
            Body::Control(control) => {
                if let Control::CertificateRevoked { revocation, .. } = &**control {
                    assert!(self.revoked.insert(revocation.serial), "{} twice", revocation.serial);
                }
            }
        }
    }
}
