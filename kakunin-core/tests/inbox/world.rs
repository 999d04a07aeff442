//! A deployment whose reads are counted, and rows as it would have written them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::event::Event;
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::service::{InboxFilter, InboxPage, Kakunin, NotificationKind, Parts, Tenant};
use kakunin_core::store::state::{Change, Kind, StateStore, StateView, Touched};
use kakunin_core::time::ManualClock;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;
use sha2::Sha256;

pub(crate) use crate::common::{MODEL, NOW, P256, config, deployment, reopened};

/// State whose reads are counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) store: Arc<dyn StateStore>,
    /// Rows and questions of the inbox and its marks.
    read: AtomicUsize,
}

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
    pub(crate) state: Arc<Counted>,
}

pub(crate) fn world() -> World {
    let (mut parts, clock) = crate::common::parts(LocalKeys::ephemeral());
    let state = Arc::new(Counted { store: parts.state.clone(), read: AtomicUsize::new(0) });
    parts.state = state.clone();
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme, state }
}

impl World {
    pub(crate) fn agent(&self, name: &str, profile: Profile) -> (AgentId, Serial) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let id = block_on(self.tenant().register(spec)).unwrap().id;
        (id, block_on(self.tenant().certify(&id, profile, P256)).unwrap().facts.serial)
    }

    pub(crate) fn tenant(&self) -> Tenant {
        self.kakunin.tenant(&self.acme)
    }

    /// The same, as a person.
    pub(crate) fn person(&self, name: &str) -> Tenant {
        self.kakunin.acting_as(name.parse().unwrap()).tenant(&self.acme)
    }

    /// As many items as there are names.
    pub(crate) fn suspect(&self, names: &[&str]) -> Vec<u64> {
        for name in names {
            let (_, serial) = self.agent(name, Profile::Standard);
            assert!(block_on(self.kakunin.suspect_impersonation(&serial)).unwrap());
        }
        let mut all: Vec<_> = self.all().iter().map(|(index, _)| *index).collect();
        all.reverse();
        all
    }

    pub(crate) fn refused(&self, serial: Serial, n: u64) -> Event {
        let mut event = Event::refused(serial, "delete:backups".parse().unwrap());
        event.target = Some(format!("backup-{n}").parse().unwrap());
        event
    }

    /// Kinds by index, newest first.
    pub(crate) fn all(&self) -> Vec<(u64, NotificationKind)> {
        let all = block_on(self.tenant().notifications(None, 1_000)).unwrap();
        all.into_iter().map(|(index, item)| (index, item.kind)).collect()
    }

    pub(crate) fn kinds(&self) -> Vec<NotificationKind> {
        self.all().into_iter().map(|(_, kind)| kind).collect()
    }

    pub(crate) fn log(&self) -> LogId {
        LogId::Tenant(self.acme.clone())
    }

    pub(crate) fn restarted(self) -> Self {
        let kakunin = reopened(config(), &self.parts);
        Self { kakunin, ..self }
    }

    /// After a restart that found its state changed by somebody else, and made it anew from the log.
    pub(crate) fn rebuilt(self) -> Self {
        let gone = |key: &[u8]| Change { kind: Kind::Seal, key: key.to_vec(), value: None };
        block_on(self.state.store.put(&self.log(), &[gone(b"rows"), gone(b"histories")])).unwrap();
        self.restarted()
    }

    /// How many rows and questions `work` costs.
    pub(crate) fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, usize) {
        self.state.read.store(0, Ordering::Relaxed);
        let value = work();
        (value, self.state.read.load(Ordering::Relaxed))
    }

    /// Rows of the inbox under their MACs, by this deployment's log key.
    pub(crate) fn sealer(&self) -> impl Fn(u64, &str) -> Change + use<> {
        let first = block_on(self.parts.sink.read(&LogId::System, 0, 1)).unwrap();
        let Body::Control(made) = Record::open(&first[0]).unwrap().body else { unreachable!() };
        let Control::DeploymentCreated { log_key, .. } = *made else { unreachable!() };
        let log_key = block_on(self.parts.log_keys.open(&log_key)).unwrap();
        let derived = block_on(log_key.sign(b"kakunin: the key of seals of stored state, 1")).unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(derived.as_bytes()).unwrap();
        let log = self.log().to_string();
        move |index, item| {
            let (key, mut value) = ((u64::MAX - index).to_be_bytes(), item.as_bytes().to_vec());
            let mut mac = mac.clone();
            mac.update(b"v");
            for part in [log.as_bytes(), &[Kind::Inbox.code()], &key, &value] {
                mac.update(&u64::try_from(part.len()).unwrap().to_be_bytes());
                mac.update(part);
            }
            value.extend(&mac.finalize().into_bytes()[..16]);
            Change { kind: Kind::Inbox, key: key.to_vec(), value: Some(value) }
        }
    }
}

pub(crate) fn page(tenant: &Tenant, filter: InboxFilter, before: Option<u64>, limit: usize) -> InboxPage {
    block_on(tenant.inbox(&filter, before, limit)).unwrap()
}

/// What somebody sees: what they read of it, oldest first, and how much is left.
pub(crate) fn seen(tenant: &Tenant) -> (Vec<bool>, u64) {
    let page = page(tenant, InboxFilter::default(), None, 1_000);
    (page.items.iter().rev().map(|one| one.read).collect(), page.unread)
}

#[async_trait]
impl StateStore for Counted {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        self.store.apply(log, index, changes).await
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        self.store.applied(log).await
    }
    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        self.store.swap(log, expected, change).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.store.put(log, changes).await
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.store.get(log, kind, key).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        let rows = self.store.scan(log, kind, after, limit).await?;
        self.read.fetch_add(1 + rows.len(), Ordering::Relaxed);
        Ok(rows)
    }
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        self.store.view(log).await
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        self.store.touched().await
    }
}
