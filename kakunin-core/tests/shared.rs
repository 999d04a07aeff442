//! Two that run over one store: what one orders, the other knows once it has read on, without being opened again; and
//! neither decides on what the other has changed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::sink::{Does, Sink};
use common::{MODEL, NOW, P256, config};
use kakunin_core::access::{ApiKey, ApiKeyFacts, Role};
use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::feed::Visibility;
use kakunin_core::id::{IssuerId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::record::Record;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Error, Kakunin, OfflineRoot, Parts, Reader};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::state::{Change, Kind, StateStore as _};
use kakunin_core::time::{DAY, ManualClock};
use kakunin_core::x509::ca::{sign_issuing, sign_root};
use kakunin_core::x509::csr::Proven;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    one: Kakunin,
    other: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

fn world_over(parts: Parts, clock: Arc<ManualClock>) -> World {
    let one = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let acme: TenantId = "acme".parse().unwrap();
    block_on(one.create_tenant(&acme)).unwrap();
    let other = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    World { one, other, parts, clock, acme }
}

fn world() -> World {
    let (parts, clock) = common::parts(LocalKeys::ephemeral());
    world_over(parts, clock)
}

/// Reads on, as it is done about once a second.
fn follow(kakunin: &Kakunin) {
    block_on(kakunin.tend()).unwrap();
}

fn key(kakunin: &Kakunin, tenant: &TenantId) -> (ApiKeyFacts, ApiKey) {
    block_on(kakunin.create_api_key(tenant, Role::Operator, "desk".parse().unwrap(), None)).unwrap()
}

fn issuer_of_next(kakunin: &Kakunin, tenant: &TenantId, name: &str) -> Result<IssuerId, Error> {
    let spec = NewAgent::new(name, MODEL, ["read:a"]).unwrap();
    let agent = block_on(kakunin.register(tenant, spec)).unwrap().id;
    block_on(kakunin.certify(tenant, &agent, Profile::Standard, P256)).map(|leaf| leaf.facts.issuer)
}

/// Everything that the system log says, as callers see it.
fn seen(kakunin: &Kakunin) -> String {
    let tenants = block_on(kakunin.tenants());
    let visible: Vec<_> =
        tenants.iter().map(|tenant| block_on(kakunin.visibility(tenant)).unwrap()).collect();
    let cas = kakunin.authorities();
    let cas: Vec<_> =
        cas.iter().map(|ca| (ca.issuer.id(), ca.root.id(), &ca.tenant, ca.current, ca.visibility)).collect();
    let roots: Vec<_> = kakunin.roots().iter().map(|root| root.id()).collect();
    let had = block_on(kakunin.had_admin_key()).unwrap();
    let keys = kakunin.api_keys(None);
    format!("{tenants:?} {visible:?} {cas:?} {} {roots:?} {keys:?} {had}", kakunin.authorities_made())
}

impl World {
    /// Both know the same, and so does a third that begins from the log alone; and nobody's rows look damaged.
    fn agree(&self) {
        follow(&self.one);
        follow(&self.other);
        let reopened = block_on(Kakunin::open(config(), self.parts.clone())).unwrap();
        let folded = block_on(Kakunin::open(config(), from_the_log_alone(&self.parts))).unwrap();
        for kakunin in [&self.other, &reopened, &folded] {
            assert_eq!(seen(kakunin), seen(&self.one));
        }
        for kakunin in [&self.one, &self.other, &reopened] {
            assert_eq!(kakunin.damage().named, Vec::<String>::new());
        }
    }

    fn records(&self, name: &str) -> usize {
        let entries = block_on(self.parts.sink.read(&LogId::System, 0, 10_000)).unwrap();
        entries.iter().filter(|entry| Record::open(entry).unwrap().name() == name).count()
    }
}

/// The same logs and the same vault, and no projection.
fn from_the_log_alone(parts: &Parts) -> Parts {
    let fresh = Arc::new(MemoryStore::new());
    for (key, value) in block_on(parts.state.scan(&LogId::System, Kind::Vault, None, 10_000)).unwrap() {
        let change = Change { kind: Kind::Vault, key, value: Some(value) };
        block_on(fresh.put(&LogId::System, &[change])).unwrap();
    }
    Parts { state: fresh, ..parts.clone() }
}

#[test]
fn what_one_orders_the_other_knows_without_being_opened_again() {
    let w = world();
    let (one, other, acme) = (&w.one, &w.other, &w.acme);
    let bolt: TenantId = "bolt".parse().unwrap();
    block_on(one.create_tenant(&bolt)).unwrap();
    let (kept, gone) = (key(one, &bolt), key(one, &bolt));
    let admin = block_on(one.create_api_key(acme, Role::Admin, "a".parse().unwrap(), None)).unwrap();
    assert!(other.authenticate(kept.1.reveal()).is_none() && !block_on(other.had_admin_key()).unwrap());
    follow(other);
    for (known, text) in [&kept, &gone, &admin] {
        assert_eq!(other.authenticate(text.reveal()).as_deref(), Some(known));
    }
    assert!(block_on(other.had_admin_key()).unwrap());
    assert_eq!(issuer_of_next(other, &bolt, "one").unwrap(), one.issuer().id());
    block_on(one.revoke_api_key(&gone.0.id)).unwrap();
    follow(other);
    assert!(other.authenticate(gone.1.reveal()).is_none() && other.authenticate(kept.1.reveal()).is_some());
    // A tenant's own CA, which it keeps to itself; then another for everybody, under another root.
    let own = block_on(one.rotate_issuing(Some(acme))).unwrap().id();
    block_on(one.set_visibility(acme, Visibility::Private)).unwrap();
    assert!(other.may_read_revocations(&own, Reader::Anybody), "it knows of no such CA");
    follow(other);
    assert!(!other.may_read_revocations(&own, Reader::Anybody));
    assert_eq!(issuer_of_next(other, acme, "two").unwrap(), own);
    w.clock.set(NOW.plus(14 * 365 * DAY + 200 * DAY));
    let next = block_on(one.rotate_issuing(None)).unwrap();
    assert_eq!(one.roots().len(), 2, "the first root does not see a certificate of a year");
    follow(other);
    assert_eq!((other.issuer().id(), other.roots().len()), (next.id(), 2));
    // What has ended by now, whoever begins by now does not open.
    w.clock.set(NOW);
    w.agree();
}

#[test]
fn what_an_offline_root_signed_is_installed_for_both() {
    let w = world();
    let keys = LocalKeys::ephemeral();
    let root_key = block_on(keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256)).unwrap();
    let root_key = block_on(keys.open(&root_key)).unwrap();
    let [of_root, below] = [7, 8].map(|n| Serial::from_bytes([n; 16]).unwrap());
    let root = block_on(sign_root(&*root_key, &of_root, None, NOW)).unwrap();
    let request = Proven::read(&block_on(w.other.request_issuing()).unwrap()).unwrap();
    let published = request.published.as_ref();
    let issuing = sign_issuing(&root, &*root_key, &request.key, &below, None, published, NOW);
    let issuing = block_on(issuing).unwrap();
    let signed = OfflineRoot { root: root.as_der().to_vec(), issuing: issuing.as_der().to_vec() };
    block_on(w.one.install_issuing(None, &signed)).unwrap();
    // The one that asked for it learns that it is done.
    let again = block_on(w.other.install_issuing(None, &signed)).unwrap_err();
    assert!(matches!(again, Error::Exists(_)), "{again:?}");
    follow(&w.other);
    assert_eq!(w.other.issuer().id(), issuing.id());
    assert_eq!(issuer_of_next(&w.other, &w.acme, "one").unwrap(), issuing.id());
    assert_eq!(w.records("ca.created"), 4);
    w.agree();
}

#[test]
fn each_decides_on_what_the_other_recorded() {
    let w = world();
    let both = [&w.one, &w.other];
    let tenant = |n: usize| -> TenantId { format!("tenant{n}").parse().unwrap() };
    for n in 0..8 {
        block_on(both[n % 2].create_tenant(&tenant(n))).unwrap();
        // CRLs are on the same log.
        block_on(both[(n + 1) % 2].crl(Some(u16::try_from(n).unwrap()))).unwrap();
    }
    // Nobody read on in between: it is there, and not there twice.
    for n in 0..8 {
        block_on(both[(n + 1) % 2].create_tenant(&tenant(n))).unwrap();
    }
    assert_eq!((w.records("tenant.created"), w.records("crl.published")), (9, 8));
    let (facts, _) = key(&w.one, &tenant(3));
    block_on(w.other.revoke_api_key(&facts.id)).unwrap();
    assert_eq!(block_on(w.one.revoke_api_key(&facts.id)).unwrap_err().code(), "not_found");
    block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap();
    for (kakunin, visibility) in [
        (&w.other, Visibility::Private),
        (&w.one, Visibility::Private),
        (&w.one, Visibility::Public),
        (&w.other, Visibility::Public),
        (&w.other, Visibility::Private),
    ] {
        block_on(kakunin.set_visibility(&w.acme, visibility)).unwrap();
        assert_eq!(block_on(kakunin.visibility(&w.acme)).unwrap(), visibility);
    }
    assert_eq!(w.records("revocations.visibility_changed"), 3);
    w.agree();
}

#[test]
fn verifiers_of_both_know_what_a_ca_revoked_that_one_made() {
    let w = world();
    let own = block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap().id();
    let spec = NewAgent::new("one", MODEL, ["read:a"]).unwrap();
    let agent = block_on(w.one.register(&w.acme, spec)).unwrap().id;
    let leaf = block_on(w.one.certify(&w.acme, &agent, Profile::Standard, P256)).unwrap().facts;
    assert_eq!(leaf.issuer, own);
    block_on(w.one.revoke(&w.acme, &leaf.serial, Cause::KeyCompromise)).unwrap();
    follow(&w.other);
    assert_eq!(w.other.revocations().reason(&own, &leaf.serial).unwrap(), Some(Reason::KeyCompromise));
    w.agree();
}

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
        block_on(w.one.set_visibility(&w.acme, Visibility::Private)).unwrap_err(),
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
fn what_failed_to_be_closed_stays_closed_here_until_it_is_asked_for_again() {
    let (mut parts, clock) = common::parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let w = world_over(parts, clock);
    let own = block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap().id();
    let open = |kakunin: &Kakunin| kakunin.may_read_revocations(&own, Reader::Anybody);
    sink.does(Does::Gone);
    block_on(w.one.set_visibility(&w.acme, Visibility::Private)).unwrap_err();
    sink.does(Does::Well);
    // Whatever else is ordered says nothing of it.
    block_on(w.one.create_tenant(&"bolt".parse().unwrap())).unwrap();
    follow(&w.one);
    follow(&w.other);
    assert_eq!((open(&w.one), open(&w.other)), (false, true));
    block_on(w.one.set_visibility(&w.acme, Visibility::Public)).unwrap();
    assert_eq!((open(&w.one), w.records("revocations.visibility_changed")), (true, 0));
    block_on(w.one.set_visibility(&w.acme, Visibility::Private)).unwrap();
    sink.does(Does::Full);
    block_on(w.one.set_visibility(&w.acme, Visibility::Public)).unwrap_err();
    sink.does(Does::Well);
    assert!(!open(&w.one), "open once that is on record");
    w.agree();
}

/// A sink before which somebody else writes first, once.
struct Beaten {
    store: Arc<MemoryStore>,
    quicker: Mutex<Option<(Kakunin, TenantId)>>,
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
        self.store.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.store.logs().await
    }
}

#[test]
fn who_is_beaten_to_the_log_decides_anew() {
    let (mut parts, clock) = common::parts(LocalKeys::ephemeral());
    let store = Arc::new(MemoryStore::new());
    (parts.sink, parts.state, parts.revocations) = (store.clone(), store.clone(), store.clone());
    let mut w = world_over(parts, clock);
    let beaten = Arc::new(Beaten { store, quicker: Mutex::default() });
    w.one = block_on(Kakunin::open(config(), Parts { sink: beaten.clone(), ..w.parts.clone() })).unwrap();
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
