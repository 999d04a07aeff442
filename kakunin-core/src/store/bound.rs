//! Which agent each public key belongs to, whatever its tenant: a key that stands for two agents stands for neither.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::id::{AgentId, IssuerId};
use crate::log::entry::Entry;
use crate::log::leaf::Leaf;
use crate::log::record::{Body, Control, Record};

/// A public key, by its identifier, is an agent's: for good, also after what was planned for it was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The key.
    pub key: IssuerId,
    /// Whose it is.
    pub agent: AgentId,
}

impl Binding {
    /// What this record binds.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let Body::Control(control) = &record.body else { return None };
        match (&**control, record.agent) {
            (Control::KeyBound { key_id, .. }, Some(agent)) => Some(Self { key: *key_id, agent }),
            _ => None,
        }
    }
}

/// Reads which agent each key belongs to, as a store keeps it.
///
/// * Atomicity: each binding is as one append left it.
/// * Durability: those that are read survive a crash.
/// * Concurrency: any number of readers, beside whoever appends.
/// * Idempotence: reading changes nothing.
#[async_trait]
pub trait Bound: core::fmt::Debug + Send + Sync {
    /// Up to `limit` bindings of keys above `after`, in order of their keys.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn bound(&self, after: Option<&IssuerId>, limit: usize) -> Result<Vec<Binding>, StoreError>;
}

/// What logs say about keys: for a store that was written before it kept that in a table. Each log is told from its
/// first entry, one after the other.
#[derive(Debug, Default)]
pub struct Bindings {
    /// With whether a certificate was issued for it.
    all: HashMap<IssuerId, (AgentId, bool)>,
    /// The last key of each agent of this log.
    last: HashMap<AgentId, IssuerId>,
}

impl Bindings {
    /// Takes the next entry of a log.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for a record that is not as it was written.
    pub fn take(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let leaf = Leaf::decode(&entry.leaf).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        if leaf.act.is_some() || leaf.agent.is_none() {
            return Ok(());
        }
        let record = Record::open(entry)?;
        if let Some(Binding { key, agent }) = Binding::of(&record) {
            self.all.entry(key).or_insert((agent, false));
            self.last.insert(agent, key);
        } else if let (Body::Control(control), Some(agent)) = (&record.body, record.agent)
            && matches!(**control, Control::CertificateIssued { .. })
            && let Some(key) = self.last.get(&agent)
        {
            self.issued(*key, agent);
        }
        Ok(())
    }

    /// Older versions gave to another agent what was bound and given up before they were started again: it belongs to
    /// the one that was certified for it.
    fn issued(&mut self, key: IssuerId, agent: AgentId) {
        match self.all.entry(key) {
            Place::Occupied(mut bound) if !bound.get().1 => _ = bound.insert((agent, true)),
            Place::Occupied(_) => {}
            Place::Vacant(free) => _ = free.insert((agent, true)),
        }
    }

    /// The keys, each once.
    pub fn found(&self) -> impl Iterator<Item = Binding> {
        self.all.iter().map(|(key, (agent, _))| Binding { key: *key, agent: *agent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Serial, SystemEntropy};
    use crate::issue::Issued;
    use crate::time::UnixTime;

    const KEY: IssuerId = IssuerId::from_bytes([1; 20]);

    fn entry(agent: u8, control: Control) -> Entry {
        let agent = Some(AgentId::from_bytes([agent; 16]));
        Record::control(UnixTime::default(), agent, None, control).seal(&SystemEntropy).unwrap()
    }

    fn bound() -> Control {
        Control::KeyBound { key: None, key_id: KEY, binding: None }
    }

    fn issued(agent: u8) -> Control {
        let facts = Issued {
            serial: Serial::from_bytes([9; 16]).unwrap(),
            agent: AgentId::from_bytes([agent; 16]),
            issuer: IssuerId::from_bytes([2; 20]),
            not_before: UnixTime::default(),
            not_after: UnixTime::default(),
            shard: 0,
        };
        let certificate = String::new();
        Control::CertificateIssued { facts, certificate, reinstates: false, constraints: None, renewal: None }
    }

    fn holder(log: &[(u8, Control)]) -> Vec<Binding> {
        let mut bindings = Bindings::default();
        for (agent, control) in log {
            bindings.take(&entry(*agent, control.clone())).unwrap();
        }
        bindings.found().collect()
    }

    #[test]
    fn a_key_is_whose_it_was_first_or_who_was_certified_for_it() {
        let of = |n| [Binding { key: KEY, agent: AgentId::from_bytes([n; 16]) }];
        assert_eq!(holder(&[(1, bound()), (2, bound())]), of(1));
        assert_eq!(holder(&[(1, bound()), (2, bound()), (2, issued(2))]), of(2));
        assert_eq!(holder(&[(1, bound()), (1, issued(1)), (2, bound()), (2, issued(2))]), of(1));
        assert_eq!(holder(&[(1, issued(1))]), []);
    }
}
