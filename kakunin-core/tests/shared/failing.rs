//! What goes wrong with one of two, and what the other makes of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::feed::Visibility;
use kakunin_core::id::TenantId;
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::service::{Kakunin, Parts, Reader};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::sink::{Does, Sink};
use crate::common::{self, config};
use crate::world::{World, follow, issuer_of_next, key, world_over};

/// Keys that another has too, and that cannot be opened while they are shut.
#[derive(Debug)]
struct Shut(Arc<dyn KeyProvider>, AtomicBool);

#[async_trait]
impl KeyProvider for Shut {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.0.generate(planned, algorithm).await
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(SignError::Refused { key: key.clone(), why: "it is shut" });
        }
        self.0.open(key).await
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.disable(key).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.enable(key).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.retire(key).await
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.0.list().await
    }
}

#[test]
fn in_place_of_a_ca_that_cannot_be_opened_no_other_issues() {
    let (parts, clock) = common::parts(LocalKeys::ephemeral());
    let mut w = world_over(parts, clock);
    let door = Arc::new(Shut(w.parts.keys.clone(), AtomicBool::default()));
    let behind = Parts { keys: door.clone(), ..w.parts.clone() };
    w.other = block_on(Kakunin::open(config(), behind)).unwrap();
    let shared = w.one.issuer().id();
    assert_eq!(issuer_of_next(&w.other, &w.acme, "one").unwrap(), shared);
    door.1.store(true, Ordering::Relaxed);
    let (facts, text) = key(&w.one, &w.acme);
    block_on(w.one.rotate_issuing(None)).unwrap();
    let made = w.other.authorities_made();
    assert!(block_on(w.other.tend()).is_err(), "whoever runs it is told");
    assert!(w.other.authenticate(text.reveal()).is_some(), "the rest goes on");
    let refused = issuer_of_next(&w.other, &w.acme, "two").unwrap_err();
    assert_eq!(refused.code(), "storage_unavailable", "the one that was replaced issues nothing: {refused}");
    block_on(w.other.revoke_api_key(&facts.id)).unwrap();
    assert_eq!(w.other.authorities_made(), made, "no copy of the authorities is newer");
    door.1.store(false, Ordering::Relaxed);
    follow(&w.other);
    assert_eq!(w.other.authorities_made(), made + 1);
    assert_eq!(issuer_of_next(&w.other, &w.acme, "three").unwrap(), w.one.issuer().id());
    w.agree();
}

#[test]
fn what_was_written_though_nobody_heard_of_it_is_found_by_both() {
    let (mut parts, clock) = common::parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let w = world_over(parts, clock);
    let own = block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap().id();
    sink.does(Does::Lost);
    let failed = [
        block_on(w.one.create_tenant(&"bolt".parse().unwrap())).unwrap_err(),
        block_on(w.one.tenant(&w.acme).set_visibility(Visibility::Private)).unwrap_err(),
        block_on(w.one.rotate_issuing(None)).unwrap_err(),
    ];
    assert_eq!(failed.map(|error| error.code()), ["storage_unavailable"; 3]);
    assert!(!w.one.may_read_revocations(&own, Reader::Anybody), "closed before it was on record");
    sink.does(Does::Well);
    follow(&w.other);
    assert!(!w.other.may_read_revocations(&own, Reader::Anybody));
    assert_eq!(block_on(w.other.tenants()).len(), 2);
    // Both have gone on since.
    block_on(w.other.create_tenant(&"dolt".parse().unwrap())).unwrap();
    block_on(w.one.create_tenant(&"bolt".parse().unwrap())).unwrap();
    assert_eq!((w.records("tenant.created"), w.records("ca.created")), (3, 4));
    follow(&w.one);
    assert_eq!(issuer_of_next(&w.one, &"dolt".parse().unwrap(), "one").unwrap(), w.other.issuer().id());
    w.agree();
}

#[test]
fn a_ca_that_could_not_be_recorded_leaves_nothing_of_itself_behind() {
    let (mut parts, clock) = common::parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let w = world_over(parts, clock);
    let of_acme = |kakunin: &Kakunin| {
        let issuing = kakunin.authorities().into_iter().find(|ca| ca.tenant.is_some());
        issuing.map(|ca| ca.issuer.as_der().to_vec())
    };
    sink.does(Does::Gone);
    block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap_err();
    sink.does(Does::Well);
    // The other makes one for the same key, whose certificate is another.
    let made = block_on(w.other.rotate_issuing(Some(&w.acme))).unwrap();
    assert_eq!(of_acme(&w.one), None);
    follow(&w.one);
    assert_eq!(of_acme(&w.one), Some(made.as_der().to_vec()));
    assert_eq!(issuer_of_next(&w.one, &w.acme, "one").unwrap(), made.id());
    w.agree();
}

#[test]
fn what_failed_to_be_closed_stays_closed_here_until_it_is_asked_for_again() {
    let (mut parts, clock) = common::parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let w = world_over(parts, clock);
    let own = block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap().id();
    let open = |kakunin: &Kakunin| kakunin.may_read_revocations(&own, Reader::Anybody);
    sink.does(Does::Gone);
    block_on(w.one.tenant(&w.acme).set_visibility(Visibility::Private)).unwrap_err();
    sink.does(Does::Well);
    // Whatever else is ordered says nothing of it.
    block_on(w.one.create_tenant(&"bolt".parse().unwrap())).unwrap();
    follow(&w.one);
    follow(&w.other);
    assert_eq!((open(&w.one), open(&w.other)), (false, true));
    block_on(w.one.tenant(&w.acme).set_visibility(Visibility::Public)).unwrap();
    assert_eq!((open(&w.one), w.records("revocations.visibility_changed")), (true, 0));
    block_on(w.one.tenant(&w.acme).set_visibility(Visibility::Private)).unwrap();
    sink.does(Does::Full);
    block_on(w.one.tenant(&w.acme).set_visibility(Visibility::Public)).unwrap_err();
    sink.does(Does::Well);
    assert!(!open(&w.one), "open once that is on record");
    w.agree();
}

/// A sink before which somebody else writes first, once; or from which somebody else's record is read.
struct Beaten {
    store: Arc<MemoryStore>,
    quicker: Mutex<Option<(Kakunin, TenantId)>>,
    forged: AtomicBool,
}

impl std::fmt::Debug for Beaten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Beaten")
    }
}

#[async_trait]
impl AuditSink for Beaten {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let quicker = self.quicker.lock().unwrap().take();
        if let Some((kakunin, tenant)) = quicker {
            kakunin.create_tenant(&tenant).await.unwrap();
        }
        self.store.append(appends).await
    }
    async fn room(&self) -> Room {
        self.store.room().await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.store.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        // The record of a tenant that was made before.
        let from = if self.forged.load(Ordering::Relaxed) { from.saturating_sub(1) } else { from };
        self.store.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.store.logs().await
    }
}

/// A world whose one sees it through such a sink.
fn beaten() -> (World, Arc<Beaten>) {
    let (mut parts, clock) = common::parts(LocalKeys::ephemeral());
    let store = Arc::new(MemoryStore::new());
    (parts.sink, parts.state, parts.revocations) = (store.clone(), store.clone(), store.clone());
    let mut w = world_over(parts, clock);
    let beaten = Arc::new(Beaten { store, quicker: Mutex::default(), forged: AtomicBool::default() });
    w.one = block_on(Kakunin::open(config(), Parts { sink: beaten.clone(), ..w.parts.clone() })).unwrap();
    (w, beaten)
}

#[test]
fn what_the_log_key_did_not_sign_is_not_followed() {
    let (w, beaten) = beaten();
    block_on(w.other.create_tenant(&"bolt".parse().unwrap())).unwrap();
    beaten.forged.store(true, Ordering::Relaxed);
    let refused = block_on(w.one.tend()).unwrap_err();
    assert_eq!(refused.code(), "storage_corrupt", "{refused}");
    assert!(refused.to_string().contains("not the ones that its checkpoint signed"), "{refused}");
    assert_eq!(block_on(w.one.tenants()).len(), 1, "nothing of it counts");
    beaten.forged.store(false, Ordering::Relaxed);
    follow(&w.one);
    assert_eq!(block_on(w.one.tenants()).len(), 2);
    w.agree();
}

#[test]
fn who_is_beaten_to_the_log_decides_anew() {
    let (w, beaten) = beaten();
    let beat = |name: &str| {
        let tenant: TenantId = name.parse().unwrap();
        *beaten.quicker.lock().unwrap() = Some((w.other.clone(), tenant.clone()));
        tenant
    };
    // With what it wants itself: then there is nothing left to record.
    let bolt = beat("bolt");
    block_on(w.one.create_tenant(&bolt)).unwrap();
    assert_eq!(w.records("tenant.created"), 2);
    beat("colt");
    let (_, text) = key(&w.one, &bolt);
    beat("dolt");
    let own = block_on(w.one.rotate_issuing(Some(&bolt))).unwrap().id();
    assert_eq!(issuer_of_next(&w.one, &bolt, "one").unwrap(), own);
    assert!(w.one.authenticate(text.reveal()).is_some());
    assert_eq!(w.records("tenant.created"), 4);
    w.agree();
}
