//! What is known of one log: the key of its records that are no events, and what is on record as erased.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::aead::Cipher;
use crate::error::StoreError;
use crate::id::{AgentId, TenantId};
use crate::log::entry::LogId;
use crate::month::Month;
use crate::service::engine::seal::SealKey;
use crate::service::state::erasures::{Erasure, Erasures};
use zeroize::Zeroizing;

/// One log.
#[derive(Debug)]
pub(super) struct OfLog {
    pub(super) log: LogId,
    /// Tells its keys from those of other logs in memory.
    pub(super) number: u32,
    /// Of all records but events: it follows from the log key, and is never destroyed.
    pub(super) own: Cipher,
    erased: RwLock<HashMap<AgentId, Erasures>>,
    /// Agents of which keys may be there although they are destroyed by what is on record.
    pending: Mutex<BTreeSet<AgentId>>,
}

impl OfLog {
    pub(super) fn new(log: LogId, number: u32, seal_key: &SealKey) -> Result<Self, StoreError> {
        let own = Cipher::new(&Zeroizing::new(seal_key.of_payloads(&log)))?;
        Ok(Self { log, number, own, erased: RwLock::default(), pending: Mutex::default() })
    }

    /// Whose log it is.
    pub(super) const fn tenant(&self) -> Option<&TenantId> {
        match &self.log {
            LogId::Tenant(tenant) => Some(tenant),
            LogId::System | LogId::Revocations(_) => None,
        }
    }

    /// All that is on record as erased.
    pub(super) fn know(&self, all: HashMap<AgentId, Erasures>) {
        let agents: Vec<_> = all.keys().copied().collect();
        *self.erased.write().unwrap_or_else(PoisonError::into_inner) = all;
        self.pending().extend(agents);
    }

    /// One more, unless it is known.
    pub(super) fn add(&self, agent: AgentId, erasure: Erasure) {
        let mut erased = self.erased.write().unwrap_or_else(PoisonError::into_inner);
        erased.entry(agent).or_default().add(erasure);
        drop(erased);
        // After it, so that whoever destroys keys by what was known before leaves it pending.
        self.pending().insert(agent);
    }

    /// What is on record as erased of an agent.
    pub(super) fn of(&self, agent: &AgentId) -> Erasures {
        self.ask(agent, Clone::clone).unwrap_or_default()
    }

    /// Which record erased what an agent did in this month, if that was recorded at this index.
    pub(super) fn erased(&self, agent: &AgentId, month: Month, index: u64) -> Option<u64> {
        self.ask(agent, |erased| erased.of(month, index)).flatten()
    }

    /// The last record before this index that erased what the agent did in this month.
    pub(super) fn since(&self, agent: &AgentId, month: Month, index: u64) -> u64 {
        self.ask(agent, |erased| erased.since(month, index)).unwrap_or_default()
    }

    fn ask<T>(&self, agent: &AgentId, what: impl FnOnce(&Erasures) -> T) -> Option<T> {
        self.erased.read().unwrap_or_else(PoisonError::into_inner).get(agent).map(what)
    }

    fn pending(&self) -> MutexGuard<'_, BTreeSet<AgentId>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Agents of which keys may have to be destroyed.
    pub(super) fn to_destroy(&self) -> Vec<AgentId> {
        self.pending().iter().copied().collect()
    }

    /// Keys are destroyed as what was known says; more may be on record by now.
    pub(super) fn destroyed(&self, agent: &AgentId, known: &Erasures) {
        // In one breath, so that what is added in between is not missed.
        let mut pending = self.pending();
        if self.of(agent) == *known {
            pending.remove(agent);
        }
    }
}
