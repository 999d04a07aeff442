//! What the system log amounts to, for all who ask, and what is refused ahead of it.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use super::fold::SystemState;
use crate::access::{ApiKeyFacts, ApiKeyId};
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::TenantId;
use crate::log::record::Record;

/// What is taken away from the moment it is ordered: whoever is told of an error has what does not work, and tries
/// again. It is no part of the state, and ends with the process, or with an order that succeeds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Closed {
    /// Nobody reads what this tenant's own CAs revoked.
    Revocations(TenantId),
    /// This key opens nothing.
    Key(ApiKeyId),
}

/// What the system log amounts to, as far as it was read here.
#[derive(Debug)]
pub(crate) struct Known(RwLock<Inside>);

#[derive(Debug)]
struct Inside {
    state: SystemState,
    closed: HashSet<Closed>,
}

impl Known {
    pub(crate) fn new(state: SystemState) -> Self {
        Self(RwLock::new(Inside { state, closed: HashSet::new() }))
    }

    fn look<T>(&self, look: impl FnOnce(&Inside) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inside) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// As it is on record.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&SystemState) -> T) -> T {
        self.look(|inside| read(&inside.state))
    }

    /// Takes in the next record, which is durable.
    pub(crate) fn apply(&self, index: u64, record: &Record) -> Result<(), StoreError> {
        self.change(|inside| inside.state.apply(index, record))
    }

    /// The log was read anew.
    pub(crate) fn replace(&self, state: SystemState) {
        self.change(|inside| inside.state = state);
    }

    pub(crate) fn close(&self, what: Option<Closed>) {
        self.change(|inside| inside.closed.extend(what));
    }

    /// What is on record is so: the order succeeded.
    pub(crate) fn lift(&self, what: Option<&Closed>) {
        what.into_iter().for_each(|what| _ = self.change(|inside| inside.closed.remove(what)));
    }

    pub(crate) fn has_tenant(&self, tenant: &TenantId) -> bool {
        self.read(|state| state.tenants.has(tenant))
    }

    /// Who may read what this tenant's own CAs revoked.
    pub(crate) fn visibility(&self, tenant: &TenantId) -> Visibility {
        self.look(|inside| {
            let closed =
                || !inside.closed.is_empty() && inside.closed.contains(&Closed::Revocations(tenant.clone()));
            match inside.state.tenants.visibility(tenant) {
                Visibility::Public if closed() => Visibility::Private,
                visibility => visibility,
            }
        })
    }

    /// A key that is not revoked; it may have expired.
    pub(crate) fn key(&self, id: &ApiKeyId) -> Option<Arc<ApiKeyFacts>> {
        self.look(|inside| inside.state.keys.get(id).filter(|_| inside.accepts(id)).cloned())
    }

    /// Those of the keys that are not revoked which `wanted` says.
    pub(crate) fn keys(&self, wanted: impl Fn(&ApiKeyId) -> bool) -> Vec<Arc<ApiKeyFacts>> {
        self.look(|inside| {
            let standing = inside.state.keys.all().filter(|facts| inside.accepts(&facts.id));
            standing.filter(|facts| wanted(&facts.id)).cloned().collect()
        })
    }
}

impl Inside {
    fn accepts(&self, id: &ApiKeyId) -> bool {
        self.closed.is_empty() || !self.closed.contains(&Closed::Key(*id))
    }
}
