//! CRLs as followers of the revocation log: whatever happens in whatever order, what is revoked stays on
//! them, and a fault that would take it off is caught before anybody is told.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{Hand, Keys, MODEL, NOW, P256, config, deployment, parts, reopened};
use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::id::{IssuerId, Serial, SerialNumber, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyRef, SignError, Signer};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::{Cause, Revocation, RevocationChange};
use kakunin_core::service::{Error, Kakunin, Parts, Reader, Regression};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::revocations::RevocationStore;
use kakunin_core::store::state::{Change, Kind, StateStore};
use kakunin_core::time::{HOUR, MINUTE, ManualClock, SECOND, UnixTime};
use kakunin_core::x509::crl::{CrlRefused, CrlView};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

/// A store that forgets a revocation, and counts appends.
#[derive(Debug, Default)]
struct Faulty {
    store: MemoryStore,
    lost: Mutex<Option<Serial>>,
    appends: AtomicUsize,
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
struct Cut(AtomicBool);

impl Hand for Cut {
    fn sign<'m>(&self, key: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError> {
        // Logs are signed with Ed25519, and go on.
        if self.0.load(Ordering::Relaxed) && key.algorithm() == KeyAlgorithm::P256 {
            return Err(SignError::unavailable("sign", KeyRef::new("ca"), "timeout"));
        }
        Ok(message)
    }
}

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    store: Arc<Faulty>,
    cut: Arc<Cut>,
    acme: TenantId,
    /// Number and thisUpdate of the last CRL that was read, by shard.
    seen: Mutex<HashMap<Option<u16>, (u64, UnixTime)>>,
}

fn world() -> World {
    let (store, cut) = (Arc::new(Faulty::default()), Arc::new(Cut::default()));
    let (mut parts, clock) = parts(Keys(LocalKeys::ephemeral(), cut.clone()));
    (parts.sink, parts.revocations) = (store.clone(), store.clone());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, store, cut, acme, seen: Mutex::default() }
}

impl World {
    fn issue(&self, profile: Profile) -> (Serial, u16) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.register(&self.acme, spec)).unwrap().id;
        let issued = block_on(self.kakunin.certify(&self.acme, &agent, profile, P256)).unwrap();
        (issued.facts.serial, issued.facts.shard)
    }

    fn revoke(&self, serial: &Serial) {
        block_on(self.kakunin.revoke(&self.acme, serial, Cause::KeyCompromise)).unwrap();
    }

    fn restart(&mut self) {
        self.kakunin = reopened(config(), &self.parts);
    }

    /// Number and serials of a CRL, as a relying party reads it.
    fn crl(&self, shard: Option<u16>) -> Result<(u64, BTreeSet<Serial>), Error> {
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
    fn grew(&self, shard: Option<u16>, view: &CrlView<'_>) {
        let now = (view.number, view.this_update);
        let Some(last) = self.seen.lock().unwrap().insert(shard, now) else { return };
        let both = (now.0 > last.0, now.1 > last.1);
        assert!(now == last || both == (true, true), "{shard:?}: {now:?} after {last:?}");
    }

    /// A new CRL, whether there is a reason or not.
    fn anew(&self, shard: Option<u16>) -> (u64, UnixTime, BTreeSet<SerialNumber>) {
        let der = block_on(self.kakunin.crl(shard)).unwrap();
        let view = CrlView::parse(&der).unwrap();
        self.grew(shard, &view);
        (view.number, view.this_update, view.serials().collect())
    }

    /// Records of CRLs, by shard, with their numbers.
    fn published(&self) -> Vec<(Option<u16>, u64)> {
        let entries = block_on(self.store.read(&LogId::System, 0, usize::MAX)).unwrap();
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

/// Numbers as random as a test needs, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Good,
    Held,
    Revoked,
}

/// What a relying party may count on, after anything that happened.
fn holds(w: &World, all: &[(Serial, u16, UnixTime, Is)], numbers: &mut HashMap<Option<u16>, u64>, seed: u64) {
    // A full CRL may be as old as signing it is costly: a thousandth of a second for a few.
    w.clock.set(w.parts.clock.now().plus(SECOND));
    let now = w.parts.clock.now();
    let shards: BTreeSet<_> = all.iter().map(|(_, shard, ..)| Some(*shard)).chain([None]).collect();
    for shard in shards {
        let (number, on) = w.crl(shard).unwrap();
        let last = numbers.insert(shard, number).unwrap_or_default();
        assert!(number >= last, "seed {seed}: number {number} after {last}");
        for (serial, of, expires, is) in all.iter().filter(|(_, of, ..)| shard.is_none_or(|s| s == *of)) {
            if *is == Is::Good {
                assert!(!on.contains(serial), "seed {seed}: {serial} of {of} is good");
            } else if *expires >= now {
                assert!(on.contains(serial), "seed {seed}: {serial} of {of} is not");
            }
        }
    }
}

#[test]
fn whatever_happens_no_crl_takes_a_revocation_back() {
    for seed in 0..12 {
        let (mut w, mut dice) = (world(), Dice(seed));
        let (mut all, mut numbers): (Vec<(Serial, u16, UnixTime, Is)>, _) = (Vec::new(), HashMap::new());
        for _ in 0..80 {
            let one = dice.roll(all.len().max(1));
            let now = w.parts.clock.now();
            match dice.roll(9) {
                0 | 1 => {
                    let (serial, shard) = w.issue(Profile::Ephemeral);
                    all.push((serial, shard, now.plus(HOUR), Is::Good));
                }
                2 | 3 if all.get(one).is_some() => {
                    w.revoke(&all[one].0);
                    all[one].3 = Is::Revoked;
                }
                4 if all.get(one).is_some_and(|(.., is)| *is != Is::Revoked) => {
                    block_on(w.kakunin.hold(&w.acme, &all[one].0)).unwrap();
                    all[one].3 = Is::Held;
                }
                5 if all.get(one).is_some_and(|(.., is)| *is != Is::Revoked) => {
                    block_on(w.kakunin.release(&w.acme, &all[one].0)).unwrap();
                    all[one].3 = Is::Good;
                }
                // Not published, published by the timer, or by who asks: then it ends without a word.
                6 => w.restart(),
                7 => {
                    let left = block_on(w.kakunin.publish_due());
                    assert!(left.left == 0 && left.failing.is_empty() && left.refused.is_empty(), "{left:?}");
                }
                _ => w.clock.set(now.plus(SECOND * 60 * u64::try_from(dice.roll(30)).unwrap())),
            }
            if dice.roll(3) == 0 {
                holds(&w, &all, &mut numbers, seed);
            }
        }
        holds(&w, &all, &mut numbers, seed);
        let mut last = HashMap::new();
        for (shard, number) in w.published() {
            assert!(last.insert(shard, number).is_none_or(|before| before < number), "on record too");
        }
    }
}

#[test]
fn crls_of_one_second_are_told_apart_by_this_update_and_none_is_from_the_future() {
    let mut w = world();
    let all: Vec<_> = (0..20).map(|_| w.issue(Profile::Standard)).collect();
    let (_, shard) = all[0];
    for coverage in [Some(shard), None] {
        let mut on = BTreeSet::new();
        for n in 0..400 {
            if let Some((serial, _)) = all.get(n / 20).filter(|_| n % 20 == 0) {
                w.revoke(serial);
            }
            if n == 150 {
                w.restart();
            }
            let (_, this_update, serials) = w.anew(coverage);
            assert!(this_update <= NOW, "{n}: {this_update}");
            on = serials;
        }
        // The five minutes are used up, and what was revoked since waits for the clock.
        assert_eq!(w.anew(coverage).1, NOW);
        w.clock.set(NOW.plus(SECOND));
        let (_, this_update, serials) = w.anew(coverage);
        assert_eq!(this_update, NOW.plus(SECOND));
        let due = all.iter().filter(|(_, of)| coverage.is_none_or(|shard| shard == *of)).count();
        assert!(serials.len() == due && serials.is_superset(&on), "{coverage:?}: {}", serials.len());
        w.clock.set(NOW);
    }
}

#[test]
fn while_crls_wait_for_the_clock_what_they_lack_is_not_forgotten() {
    let mut w = world();
    let (serial, shard) = w.issue(Profile::Standard);
    (0..400).for_each(|_| _ = w.anew(Some(shard)));
    w.revoke(&serial);
    let waiting = block_on(w.kakunin.publish_due());
    assert!(waiting.left == 1 && waiting.failing.is_empty() && waiting.refused.is_empty(), "{waiting:?}");
    assert!(w.crl(Some(shard)).unwrap().1.is_empty());
    w.clock.set(NOW.plus(SECOND));
    w.restart();
    assert_eq!(block_on(w.kakunin.publish_due()), Default::default());
    assert!(w.crl(Some(shard)).unwrap().1.contains(&serial));
}

#[test]
fn a_clock_that_was_set_back_keeps_no_revocation_off_the_crl_and_this_update_grows() {
    let mut w = world();
    let (first, shard) = w.issue(Profile::Standard);
    // By that clock the CA has not begun, and issues nothing.
    let (second, _) = w.issue(Profile::Standard);
    w.revoke(&first);
    w.anew(Some(shard));
    for (n, back) in [SECOND, 10 * MINUTE, 5 * HOUR].into_iter().enumerate() {
        w.clock.set(NOW.minus(back));
        if n == 2 {
            w.restart();
        }
        for coverage in [Some(shard), None] {
            assert!(w.anew(coverage).2.contains(&SerialNumber::from(first)), "{back}");
        }
    }
    // Published by itself as well: nothing is left.
    w.revoke(&second);
    assert_eq!(block_on(w.kakunin.publish_due()).left, 0);
    w.clock.set(NOW.plus(HOUR));
    assert!(w.crl(None).unwrap().1.contains(&second));
}

#[test]
fn a_store_that_loses_a_revocation_is_caught() {
    let mut w = world();
    let (lost, shard) = w.issue(Profile::Standard);
    let (kept, _) = w.issue(Profile::Standard);
    w.revoke(&lost);
    block_on(w.kakunin.publish_due());
    let before = w.crl(Some(shard)).unwrap();
    *w.store.lost.lock().unwrap() = Some(lost);
    w.restart();
    // Revoking goes on, and what is not touched is published.
    w.revoke(&kept);
    let publishing = block_on(w.kakunin.publish_due());
    let refused: Vec<_> = publishing.refused.iter().map(|crl| (crl.shard, crl.why)).collect();
    assert_eq!(refused, [(Some(shard), Regression::Vanished(lost))]);
    assert_eq!((publishing.left, w.kakunin.publishing()), (1, publishing));
    for coverage in [Some(shard), None] {
        let refused = w.crl(coverage).unwrap_err();
        assert_eq!(refused.code(), "crl_regression", "{refused}");
        assert!(refused.to_string().contains(&lost.to_string()), "{refused}");
    }
    let all = w.published();
    assert_eq!(all.iter().filter(|(of, _)| *of == Some(shard)).max(), Some(&(Some(shard), before.0)));
    // Mended, it goes on by itself.
    *w.store.lost.lock().unwrap() = None;
    w.restart();
    let publishing = block_on(w.kakunin.publish_due());
    assert!(publishing.left == 0 && publishing.refused.is_empty(), "{publishing:?}");
    assert!(w.crl(None).unwrap().1.is_superset(&[lost, kept].into()));
}

#[test]
fn a_store_from_before_the_last_crl_is_caught() {
    let w = world();
    let (serial, shard) = w.issue(Profile::Standard);
    w.revoke(&serial);
    block_on(w.kakunin.publish_due());
    // A clock that was set back is no reason to keep a revocation off the CRL.
    for back in [SECOND, 10 * MINUTE] {
        w.clock.set(NOW.minus(back));
        block_on(w.kakunin.crl(Some(shard))).unwrap();
    }
    // A log that is shorter than what was followed.
    let shorter = Arc::new(Faulty::default());
    let system = block_on(w.store.read(&LogId::System, 0, usize::MAX)).unwrap();
    let (head, checkpoint) = block_on(w.store.head(&LogId::System)).unwrap();
    let append = Append {
        log: LogId::System,
        expected: Head::default(),
        next: head,
        entries: system,
        checkpoint: checkpoint.unwrap(),
        changes: Vec::new(),
        revocations: Vec::new(),
        reserved: false,
    };
    block_on(shorter.append(vec![append])).unwrap();
    let parts = Parts { sink: shorter.clone(), revocations: shorter, ..w.parts.clone() };
    let restored = block_on(Kakunin::open(config(), parts)).unwrap();
    let publishing = block_on(restored.publish_due());
    assert_eq!(publishing.failing, [(restored.issuer().id(), "crl_regression")]);
    let refused = block_on(restored.published_crl(&restored.issuer().id(), None)).unwrap_err();
    assert!(matches!(refused, Error::CrlRegression(Regression::Cursor)), "{refused}");
}

#[test]
fn a_signer_that_is_down_is_asked_again_until_it_signs_also_after_a_restart() {
    let mut w = world();
    let (serial, shard) = w.issue(Profile::Standard);
    w.cut.0.store(true, Ordering::Relaxed);
    w.revoke(&serial);
    let attempt = |w: &World| block_on(w.kakunin.publish_due());
    let down = attempt(&w);
    assert_eq!(
        (down.left, down.failing.as_slice()),
        (1, &[(w.kakunin.issuer().id(), "key_unavailable")][..])
    );
    w.restart();
    assert_eq!(attempt(&w).left, 1, "it is still to be published");
    w.cut.0.store(false, Ordering::Relaxed);
    assert_eq!(attempt(&w).left, 1, "it waits a second");
    w.clock.set(NOW.plus(SECOND));
    assert_eq!(attempt(&w), Default::default());
    let records = w.published();
    assert_eq!(records.len(), 1);
    assert!(w.crl(Some(shard)).unwrap().1.contains(&serial));
    assert_eq!(w.published(), records, "what was published is served");
    // It is kept fresh without being asked for, also when nothing is revoked any more.
    w.restart();
    w.clock.set(NOW.plus(HOUR / 2 + 2 * SECOND));
    assert_eq!(attempt(&w), Default::default());
    assert_eq!(w.published().len(), 2);
}

#[test]
fn five_thousand_revoked_at_once_are_each_on_record_and_on_crls_once() {
    const AGENTS: usize = 5_000;
    let w = world();
    w.clock.set(NOW);
    let serials: Vec<_> = (0..AGENTS).map(|_| w.issue(Profile::Standard).0).collect();
    let (before, done) = (w.store.appends.load(Ordering::Relaxed), AtomicBool::new(false));
    let mut rounds = 0;
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut rounds = 0;
            loop {
                let last = done.load(Ordering::Acquire);
                assert!(block_on(w.kakunin.publish_due()).failing.is_empty());
                rounds += 1;
                if last {
                    return rounds;
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let began = Instant::now();
        serials.iter().for_each(|serial| w.revoke(serial));
        println!("{AGENTS} revoked in {:?}", began.elapsed());
        done.store(true, Ordering::Release);
        rounds = publisher.join().unwrap();
        println!("on CRLs after {:?}", began.elapsed());
    });
    let appends = w.store.appends.load(Ordering::Relaxed) - before - AGENTS;
    let records = w.published();
    println!("{} CRLs in {appends} appends, {rounds} rounds", records.len());
    assert!(records.len() <= 512 * rounds && appends <= 4 * rounds);
    let (_, on) = w.crl(None).unwrap();
    assert!(on.len() == AGENTS && serials.iter().all(|serial| on.contains(serial)));
    let log = LogId::Revocations(w.kakunin.issuer().id());
    assert_eq!(block_on(w.store.read(&log, 0, usize::MAX)).unwrap().len(), AGENTS);
    let mut sharded = 0;
    for shard in 0..512 {
        sharded += w.crl(Some(shard)).unwrap().1.len();
    }
    assert_eq!(sharded, AGENTS);
}

#[test]
fn numbers_grow_though_the_state_that_kept_them_was_lost() {
    let mut w = world();
    let (_, shard) = w.issue(Profile::Standard);
    // More CRLs than seconds: time alone would give a number that was there before.
    for coverage in [Some(shard), None] {
        (0..5).for_each(|_| _ = w.anew(coverage));
    }
    let root = |w: &World| block_on(w.kakunin.chain_crls(Reader::Deployment)).unwrap().last().unwrap().number;
    let before = (w.published(), root(&w));
    let empty = Arc::new(MemoryStore::new());
    let secret = block_on(w.parts.state.get(&LogId::System, Kind::Vault, b"secret")).unwrap();
    let vault = Change { kind: Kind::Vault, key: b"secret".to_vec(), value: secret };
    block_on(empty.put(&LogId::System, &[vault])).unwrap();
    w.parts.state = empty;
    w.restart();
    for coverage in [Some(shard), None] {
        // World::crl compares thisUpdate with that of the last one.
        let (_, last) = before.0.iter().rfind(|(of, _)| *of == coverage).unwrap();
        assert!(w.crl(coverage).unwrap().0 > *last, "{coverage:?}");
    }
    assert!(root(&w) > before.1);
}

#[test]
fn foreign_crls_are_refused() {
    let (w, other) = (world(), world());
    let now = w.parts.clock.now();
    let (ours, theirs) = (w.kakunin.issuer(), other.kakunin.issuer());
    let der = block_on(w.kakunin.crl(None)).unwrap();
    let check = |der: &[u8], issuer, at| CrlView::parse(der).map_err(CrlRefused::from)?.check(issuer, at);
    assert_eq!(check(&der, &ours, now), Ok(()));
    assert_eq!(check(&der, &theirs, now), Err(CrlRefused::Issuer));
    assert_eq!(check(&der, &ours, now.plus(2 * HOUR)), Err(CrlRefused::NotValid));
    assert_eq!(check(&der, &ours, now.minus(HOUR)), Err(CrlRefused::NotValid));
    for at in 0..der.len() {
        let mut bent = der.clone();
        bent[at] ^= 1;
        assert!(check(&bent, &ours, now).is_err(), "octet {at}");
        assert!(check(&der[..at], &ours, now).is_err(), "cut at {at}");
    }
}
