//! A deployment that runs: its engine, what its effects remember, and the handle that callers have.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use event_listener::Event;

use super::checking::Checking;
use super::cosigned::Feed;
use super::crl::{Publisher, RootCrls, Unwritten};
use super::duty::Duty;
use super::guarding::Guarding;
use super::unit::Units;
use super::webhooks::Hooks;
use crate::event::ShortName;
use crate::id::IssuerId;
use crate::log::entry::LogId;
use crate::log::record::Stage;
use crate::revoke::Said;
use crate::service::engine::cas::Ca;
use crate::service::engine::feed_key::FeedKey;
use crate::service::engine::inner::Inner;
use crate::service::engine::tenant::TenantLog;

/// A deployment: agents, their certificates, what they do, and the log of it all.
///
/// Cheap to clone; every clone is the same deployment. Futures may be run on any executor.
#[derive(Clone, Debug)]
pub struct Kakunin {
    pub(crate) inner: Arc<Running>,
    pub(crate) by: Option<ShortName>,
    pub(crate) said: Said,
}

/// The engine, and what follows its logs.
#[derive(Debug)]
pub(crate) struct Running {
    engine: Inner,
    pub(crate) feed_key: FeedKey,
    followed: Mutex<HashMap<IssuerId, Arc<Followed>>>,
    pub(crate) root_crls: RootCrls,
    pub(crate) unwritten: Unwritten,
    pub(super) units: Units,
    pub(super) duty: Duty,
    /// Rings when it is looked whose turn it is: each second at the least, while somebody runs them.
    pub(super) rounds: Event,
    pub(crate) webhooks: Hooks,
    /// Ends of authorities that tenants were told of last.
    pub(super) told: Mutex<Vec<Told>>,
    pub(crate) checking: async_lock::Mutex<Checking>,
    pub(super) guarding: async_lock::Mutex<Guarding>,
    /// How often somebody else wrote to the store, as far as it was seen.
    pub(super) foreign_writes: AtomicU64,
}

/// An authority, how near its end is, and how many days are left.
pub(super) type Told = (IssuerId, Stage, u64);

/// An issuing CA, and what is made from its revocation log.
#[derive(Debug)]
pub(crate) struct Followed {
    ca: Arc<Ca>,
    pub(crate) crls: Publisher,
    /// What followers of it are given.
    pub(crate) feed: Feed,
}

// Whatever the engine can do, a deployment that runs can.
impl Deref for Running {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.engine
    }
}

impl Deref for Followed {
    type Target = Ca;

    fn deref(&self) -> &Ca {
        &self.ca
    }
}

impl Running {
    pub(super) fn over(engine: Inner, feed_key: FeedKey) -> Self {
        Self {
            engine,
            feed_key,
            followed: Mutex::default(),
            root_crls: RootCrls::default(),
            unwritten: Unwritten::default(),
            units: Units::default(),
            duty: Duty::default(),
            rounds: Event::new(),
            webhooks: Hooks::default(),
            told: Mutex::default(),
            checking: async_lock::Mutex::default(),
            guarding: async_lock::Mutex::default(),
            foreign_writes: AtomicU64::default(),
        }
    }

    /// This CA, with what is made from its revocation log.
    pub(crate) fn followed(&self, ca: Arc<Ca>) -> Arc<Followed> {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        let first =
            || Arc::new(Followed { ca: ca.clone(), crls: Publisher::default(), feed: Feed::default() });
        all.entry(ca.issuer.id()).or_insert_with(first).clone()
    }

    /// The issuing CA of a revocation log, with what is made from that.
    pub(super) fn follows(&self, log: &LogId) -> Option<Arc<Followed>> {
        let LogId::Revocations(issuer) = log else { return None };
        self.cas.get(issuer).map(|ca| self.followed(ca))
    }

    /// The revocation logs of all issuing CAs.
    pub(super) fn revocation_logs(&self) -> Vec<LogId> {
        self.cas.all().into_iter().map(|ca| LogId::Revocations(ca.issuer.id())).collect()
    }

    /// The tenant of a log, if it is loaded.
    pub(super) async fn loaded(&self, log: &LogId) -> Option<Arc<TenantLog>> {
        let LogId::Tenant(tenant) = log else { return None };
        self.loaded.read().await.get(tenant).cloned()
    }

    /// As [`Running::loaded`], for who cannot wait: nothing while one is being loaded.
    pub(super) fn loaded_now(&self, log: &LogId) -> Option<Arc<TenantLog>> {
        let LogId::Tenant(tenant) = log else { return None };
        self.loaded.try_read()?.get(tenant).cloned()
    }

    /// The logs of all tenants that are loaded; nothing while one is being loaded, which may take long.
    pub(super) fn tenant_logs(&self) -> Option<Vec<LogId>> {
        let loaded = self.loaded.try_read()?;
        Some(loaded.values().map(|tenant| LogId::Tenant(tenant.id.clone())).collect())
    }
}

impl Kakunin {
    /// The same deployment, whose records from here on say that `who` asked for them, and whose events are
    /// `who`'s: see [`Tenant::observe_all`](crate::service::Tenant::observe_all).
    #[must_use]
    pub fn acting_as(&self, who: ShortName) -> Self {
        Self { by: Some(who), ..self.clone() }
    }

    /// The same deployment; what is revoked, held, halted or retired through it carries these words on record.
    #[must_use]
    pub fn saying(&self, said: Said) -> Self {
        Self { said, ..self.clone() }
    }
}
