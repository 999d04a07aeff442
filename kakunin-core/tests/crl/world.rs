//! A deployment whose store and signer can fail.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::id::{IssuerId, Serial, SerialNumber, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyRef, SignError, Signer};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::{Cause, Revocation, RevocationChange};
use kakunin_core::service::{Error, Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::revocations::RevocationStore;
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_core::x509::crl::CrlView;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{Hand, Keys, MODEL, P256, config, deployment, parts, reopened};

/// A store that forgets a revocation, and counts appends.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(crate) store: MemoryStore,
    pub(crate) lost: Mutex<Option<Serial>>,
    pub(crate) appends: AtomicUsize,
}

#[async_trait]
impl RevocationStore for Faulty {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        RevocationStore::apply(&self.store, issuer, changes).await
    }

    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError> {
        RevocationStore::applied(&self.store, issuer).await
    }

    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError> {
        self.store.find(issuer, serial).await
    }

    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        let mut found = self.store.after(issuer, cursor, limit).await?;
        let lost = *self.lost.lock().unwrap();
        found.retain(|(_, revocation)| Some(revocation.serial) != lost);
        Ok(found)
    }

    async fn replace(
        &self,
        issuer: &IssuerId,
        applied: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<(), StoreError> {
        self.store.replace(issuer, applied, standing).await
    }
}

#[async_trait]
impl AuditSink for Faulty {
    async fn room(&self) -> Room {
        self.store.room().await
    }

    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.store.append(appends).await
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.store.head(log).await
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.read(log, from, limit).await
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.store.logs().await
    }
}

/// Whether keys are cut off from signing what a CA signs.
#[derive(Default)]
pub(crate) struct Cut(pub(crate) AtomicBool);

impl Hand for Cut {
    fn sign<'m>(&self, key: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError> {
        // Logs are signed with Ed25519, and go on.
        if self.0.load(Ordering::Relaxed) && key.algorithm() == KeyAlgorithm::P256 {
            return Err(SignError::unavailable("sign", KeyRef::new("ca"), "timeout"));
        }
        Ok(message)
    }
}

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<Faulty>,
    pub(crate) cut: Arc<Cut>,
    pub(crate) acme: TenantId,
    /// Number and thisUpdate of the last CRL that was read, by shard.
    pub(crate) seen: Mutex<HashMap<Option<u16>, (u64, UnixTime)>>,
}

pub(crate) fn world() -> World {
    let (store, cut) = (Arc::new(Faulty::default()), Arc::new(Cut::default()));
    let (mut parts, clock) = parts(Keys(LocalKeys::ephemeral(), cut.clone()));
    (parts.sink, parts.revocations) = (store.clone(), store.clone());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, store, cut, acme, seen: Mutex::default() }
}

impl World {
    pub(crate) fn issue(&self, profile: Profile) -> (Serial, u16) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id;
        let issued = block_on(self.kakunin.tenant(&self.acme).certify(&agent, profile, P256)).unwrap();
        (issued.facts.serial, issued.facts.shard)
    }

    pub(crate) fn revoke(&self, serial: &Serial) {
        block_on(self.kakunin.tenant(&self.acme).revoke(serial, Cause::KeyCompromise)).unwrap();
    }

    /// Over a store that may say other than the logs.
    pub(crate) fn restart_as_it_is(&mut self) {
        self.kakunin = block_on(Kakunin::open(config(), self.parts.clone())).unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.kakunin = reopened(config(), &self.parts);
    }

    /// Number and serials of a CRL, as a relying party reads it.
    pub(crate) fn crl(&self, shard: Option<u16>) -> Result<(u64, BTreeSet<Serial>), Error> {
        let issuer = self.kakunin.issuer();
        let crl = block_on(self.kakunin.published_crl(&issuer.id(), shard))?;
        let view = CrlView::parse(&crl.der).unwrap();
        view.check(&issuer, self.parts.clock.now()).unwrap();
        assert_eq!(view.partial, shard.is_some());
        assert!(view.this_update <= self.parts.clock.now());
        self.grew(shard, &view);
        Ok((view.number, view.serials().map(|s| Serial::from_der_integer(s.digits()).unwrap()).collect()))
    }

    /// thisUpdate grows with the number, strictly.
    pub(crate) fn grew(&self, shard: Option<u16>, view: &CrlView<'_>) {
        let now = (view.number, view.this_update);
        let Some(last) = self.seen.lock().unwrap().insert(shard, now) else { return };
        let both = (now.0 > last.0, now.1 > last.1);
        assert!(now == last || both == (true, true), "{shard:?}: {now:?} after {last:?}");
    }

    /// A new CRL, whether there is a reason or not.
    pub(crate) fn anew(&self, shard: Option<u16>) -> (u64, UnixTime, BTreeSet<SerialNumber>) {
        let der = block_on(self.kakunin.crl(shard)).unwrap();
        let view = CrlView::parse(&der).unwrap();
        self.grew(shard, &view);
        (view.number, view.this_update, view.serials().collect())
    }

    /// Records of CRLs, by shard, with their numbers.
    pub(crate) fn published(&self) -> Vec<(Option<u16>, u64)> {
        let entries = block_on(self.kakunin.read_log(&LogId::System, 0, usize::MAX)).unwrap();
        let of = |entry: &Entry| match Record::open(entry).unwrap().body {
            Body::Control(control) => match *control {
                Control::CrlPublished { shard, number, .. } => Some((shard, number)),
                _ => None,
            },
            Body::Event(..) => None,
        };
        entries.iter().filter_map(of).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    Good,
    Held,
    Revoked,
}
