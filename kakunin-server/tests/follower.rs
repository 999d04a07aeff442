//! What followers believe of a feed: everything that the deployment says, and nothing that it could not say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::feed::{FeedError, MAX_ENTRIES};
use kakunin_core::id::{IssuerId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider};
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::log::note::NoteError;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::{DAY, HOUR, MINUTE, ManualClock, SECOND, UnixTime};
use kakunin_core::x509::crl::CrlRefused;
use kakunin_kms::local::LocalKeys;
use kakunin_verify::RevocationHandle;
use kakunin_verify::feed::{FollowError, Follower, Progress};
use kakunin_verify::revocation::{RevocationView, Snapshot, Status};
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

struct World {
    kakunin: Kakunin,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

impl World {
    fn open(mut parts: Parts, now: UnixTime) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        parts.clock = clock.clone();
        let mut config = Config::new("agents.example").unwrap();
        config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
        let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
        let acme = "acme".parse().unwrap();
        block_on(kakunin.create_tenant(&acme)).unwrap();
        Self { kakunin, clock, acme }
    }

    fn new() -> Self {
        Self::open(Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral())), NOW)
    }

    fn on_disk(file: &Path, keys: Arc<dyn KeyProvider>, now: UnixTime) -> Self {
        Self::open(Parts::new(SqliteStore::open(file).unwrap(), keys), now)
    }

    fn issuer(&self) -> IssuerId {
        self.kakunin.issuer().id()
    }

    fn certified(&self, name: &str, profile: Profile) -> (Serial, UnixTime) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.register(&self.acme, spec)).unwrap().id;
        let key = KeySource::Provider(KeyAlgorithm::P256);
        let issued = block_on(self.kakunin.certify(&self.acme, &agent, profile, key)).unwrap();
        (issued.facts.serial, issued.facts.not_after)
    }

    fn revoke(&self, serial: &Serial) {
        block_on(self.kakunin.revoke(&self.acme, serial, Cause::KeyCompromise)).unwrap();
    }

    fn frame(&self, after: u64, limit: usize) -> Vec<u8> {
        block_on(self.kakunin.feed(&self.issuer(), after, limit)).unwrap().frame.to_json().unwrap()
    }

    fn snapshot(&self) -> Vec<u8> {
        let snapshot = block_on(self.kakunin.feed_snapshot(&self.issuer())).unwrap();
        serde_json::to_vec(&serde_json::json!({ "data": &*snapshot })).unwrap()
    }

    fn tick(&self, millis: u64) -> UnixTime {
        use kakunin_core::time::Clock;
        let now = self.clock.now().plus(millis);
        self.clock.set(now);
        now
    }
}

/// A follower, and what verifiers see of it.
struct Relying {
    follower: Follower,
    handle: RevocationHandle,
    now: UnixTime,
}

impl Relying {
    fn on(world: &World) -> Self {
        let handle = RevocationHandle::default();
        let key = Arc::new(CosignerKey::parse(world.kakunin.feed_verifier()).unwrap());
        let follower = Follower::new(world.issuer(), key, handle.clone()).unwrap();
        Self { follower, handle, now: NOW }
    }

    fn started(world: &World, now: UnixTime) -> Self {
        let mut relying = Self { now, ..Self::on(world) };
        relying.follower.snapshot(&world.snapshot(), now).unwrap();
        relying
    }

    fn take(&mut self, frame: &[u8]) -> Result<Progress, FollowError> {
        self.follower.frame(frame, self.now)
    }

    fn status(&self, serial: &Serial) -> Status {
        self.handle.status(self.follower.issuer(), serial, self.now).0
    }

    fn as_of(&self) -> UnixTime {
        self.handle.current().as_of(self.follower.issuer()).unwrap_or_default()
    }
}

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }
}

#[test]
fn followers_know_what_the_deployment_knows_whatever_happens_in_which_order() {
    let mut records = 0;
    for seed in 0..6 {
        let (world, mut dice) = (World::new(), Dice(seed));
        let profiles = [Profile::Standard, Profile::Ephemeral];
        let certified: Vec<_> =
            (0..8).map(|n| world.certified(&format!("agent {n}"), profiles[n % 2])).collect();
        let mut now = world.tick(0);
        let mut followers = vec![Relying::started(&world, now)];
        for step in 0..160 {
            let (serial, _) = certified[dice.roll(certified.len())];
            // Many are refused, as they should be: who is revoked is not released.
            match dice.roll(24) {
                0 => _ = block_on(world.kakunin.revoke(&world.acme, &serial, Cause::OperatorInitiated)),
                1..=10 => _ = block_on(world.kakunin.hold(&world.acme, &serial)),
                11..=18 => _ = block_on(world.kakunin.release(&world.acme, &serial)),
                19..=21 => now = world.tick(700),
                _ => now = world.tick(8 * MINUTE),
            }
            if step % 16 == 7 {
                followers.push(Relying::started(&world, now));
            }
            for relying in &mut followers {
                // Some are behind, and catch up later.
                if dice.roll(3) == 0 {
                    continue;
                }
                relying.now = now;
                let limit = 1 + dice.roll(4);
                while let Progress::Behind(_) =
                    relying.take(&world.frame(relying.follower.cursor(), limit)).unwrap()
                {}
                assert_eq!(relying.as_of(), now.whole_secs());
                for (serial, expires) in &certified {
                    let live = world.kakunin.revocations().reason(&world.issuer(), serial).unwrap();
                    let expected = live.map_or(Status::Good, Status::Revoked);
                    // Newcomers are not told of those who expired before.
                    if *expires > now {
                        assert_eq!(relying.status(serial), expected, "seed {seed}, step {step}");
                    }
                }
            }
        }
        records += followers.iter().map(|f| f.follower.cursor()).max().unwrap_or_default();
    }
    assert!(records > 100, "{records}");
}

#[test]
fn a_newcomer_is_told_what_stands_and_not_what_has_expired() {
    let world = World::new();
    let (short, _) = world.certified("short", Profile::Ephemeral);
    let (long, _) = world.certified("long", Profile::Standard);
    let relying = Relying::started(&world, NOW);
    assert_eq!((relying.as_of(), relying.follower.cursor()), (NOW, 0), "an empty log is confirmed too");
    assert_eq!(relying.status(&long), Status::Good);
    world.revoke(&short);
    world.revoke(&long);
    let now = world.tick(2 * HOUR);
    let relying = Relying::started(&world, now);
    assert_eq!(relying.follower.cursor(), 2);
    assert!(matches!(relying.status(&long), Status::Revoked(_)));
    assert_eq!(relying.status(&short), Status::Good, "refused as expired");
}

#[test]
fn one_signature_serves_all_who_ask_within_a_second() {
    let world = World::new();
    world.tick(300);
    let first = world.frame(0, 1);
    world.tick(500);
    assert_eq!(world.frame(0, 1), first);
    world.tick(500);
    assert_ne!(world.frame(0, 1), first);
}

#[test]
fn what_was_altered_recorded_or_is_out_of_order_is_refused_and_nothing_is_lost() {
    let world = World::new();
    let serials: Vec<_> =
        (0..3).map(|n| world.certified(&format!("agent {n}"), Profile::Standard).0).collect();
    let mut relying = Relying::started(&world, NOW);
    let old = world.frame(0, MAX_ENTRIES);
    relying.now = world.tick(3 * SECOND);
    world.revoke(&serials[0]);
    let frame = world.frame(0, MAX_ENTRIES);
    let altered = |member: &str| {
        let mut json: serde_json::Value = serde_json::from_slice(&frame).unwrap();
        let text = json["entries"][0][member].as_str().unwrap().to_owned();
        let flipped = if &text[8..9] == "A" { "B" } else { "A" };
        json["entries"][0][member] = format!("{}{flipped}{}", &text[..8], &text[9..]).into();
        serde_json::to_vec(&json).unwrap()
    };
    for member in ["leaf", "salt", "payload"] {
        let refused = relying.take(&altered(member)).unwrap_err();
        assert!(matches!(refused, FollowError::Feed(FeedError::Altered | FeedError::Malformed)), "{member}");
    }
    let missing = serde_json::from_slice::<serde_json::Value>(&frame).map(|mut json| {
        json["entries"] = serde_json::json!([]);
        serde_json::to_vec(&json).unwrap()
    });
    assert_eq!(
        relying.take(&missing.unwrap()),
        Ok(Progress::Behind(1)),
        "said to be behind, and not confirmed"
    );
    assert_eq!(relying.as_of(), NOW);
    assert!(matches!(relying.take(&frame), Ok(Progress::Confirmed(_))));
    assert!(matches!(relying.status(&serials[0]), Status::Revoked(_)));
    assert_eq!(relying.take(&old), Err(FollowError::Replayed));
    assert_eq!(relying.take(&frame), Err(FollowError::Gap { expected: 1, found: 0 }));
    world.revoke(&serials[1]);
    world.revoke(&serials[2]);
    assert_eq!(relying.take(&world.frame(2, MAX_ENTRIES)), Err(FollowError::Gap { expected: 1, found: 2 }));
    relying.now = NOW.minus(MINUTE);
    assert_eq!(relying.take(&world.frame(1, MAX_ENTRIES)), Err(FollowError::Ahead));
    relying.now = NOW.plus(3 * SECOND);
    // The records of one frame, under a checkpoint of another time.
    let mut mixed: serde_json::Value = serde_json::from_slice(&world.frame(1, MAX_ENTRIES)).unwrap();
    mixed["entries"].as_array_mut().unwrap().reverse();
    let mixed = serde_json::to_vec(&mixed).unwrap();
    assert_eq!(relying.take(&mixed), Err(FollowError::OtherRoot));
    assert!(!relying.follower.prefers_snapshot(u64::MAX), "a snapshot would hide it");
    assert!(relying.status(&serials[1]) == Status::Good && relying.follower.cursor() == 1);
    assert!(matches!(relying.take(&world.frame(1, MAX_ENTRIES)), Ok(Progress::Confirmed(_))));
    assert!(matches!(relying.status(&serials[2]), Status::Revoked(_)));
}

#[test]
fn only_this_feed_of_this_issuer_is_believed() {
    let (ours, other) = (World::new(), World::new());
    let (mut relying, mut fresh) = (Relying::started(&ours, NOW), Relying::on(&ours));
    // Another deployment under the same name, with keys of its own.
    let refused = relying.take(&other.frame(0, 1)).unwrap_err();
    assert_eq!(refused, FollowError::Feed(FeedError::Note(NoteError::Unsigned)));
    let second = block_on(ours.kakunin.rotate_issuing(None)).unwrap().id();
    let frame = block_on(ours.kakunin.feed(&second, 0, 1)).unwrap().frame.to_json().unwrap();
    assert_eq!(relying.take(&frame), Err(FollowError::Feed(FeedError::OtherLog)));
    let snapshot = block_on(ours.kakunin.feed_snapshot(&second)).unwrap();
    let snapshot = serde_json::to_vec(&serde_json::json!({ "data": &*snapshot })).unwrap();
    assert_eq!(fresh.follower.snapshot(&snapshot, NOW), Err(FollowError::Feed(FeedError::OtherLog)));
    let frame = block_on(ours.kakunin.feed(fresh.follower.issuer(), 0, 1)).unwrap().frame.to_json().unwrap();
    assert_eq!(fresh.take(&frame), Err(FollowError::NoSnapshot));
    assert_eq!(fresh.status(&Serial::from_bytes([0x42; 16]).unwrap()), Status::Unknown);
}

#[test]
fn a_snapshot_with_a_body_that_was_not_signed_is_refused() {
    let world = World::new();
    let (serial, _) = world.certified("agent", Profile::Standard);
    world.revoke(&serial);
    let json: serde_json::Value = serde_json::from_slice(&world.snapshot()).unwrap();
    let with = |member: &str, value: &str| {
        let mut json = json.clone();
        json["data"][member] = value.into();
        serde_json::to_vec(&json).unwrap()
    };
    let body = json["data"]["body"].as_str().unwrap();
    let mut refused = Relying::on(&world);
    // Without its only revocation: 8 octets of size and one root are left.
    let octets = base64(body);
    let shortened = encode(&octets[..40]);
    let empty = encode(&[0; 8]);
    for body in [shortened.as_str(), empty.as_str()] {
        let error = refused.follower.snapshot(&with("body", body), NOW).unwrap_err();
        assert_eq!(error, FollowError::Feed(FeedError::Altered));
    }
    let checkpoint = json["data"]["checkpoint"].as_str().unwrap();
    let error = refused.follower.snapshot(&with("statement", checkpoint), NOW).unwrap_err();
    assert_eq!(error, FollowError::Feed(FeedError::Altered), "a checkpoint is no word about a body");
    assert!(refused.follower.needs_snapshot());
    assert_eq!(refused.status(&serial), Status::Unknown);
}

fn base64(text: &str) -> Vec<u8> {
    use base64ct::{Base64, Encoding};
    Base64::decode_vec(text).unwrap()
}

fn encode(octets: &[u8]) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(octets)
}

/// A deployment with two certified agents, and a copy of its store as it was then.
fn twins(folder: &Path) -> (World, impl Fn(UnixTime) -> World, [Serial; 2]) {
    let keys: Arc<dyn KeyProvider> = Arc::new(LocalKeys::ephemeral());
    let (file, copy) = (folder.join("one.db"), folder.join("two.db"));
    let first = World::on_disk(&file, keys.clone(), NOW);
    let serials = ["a", "b"].map(|name| first.certified(name, Profile::Standard).0);
    drop(first);
    std::fs::copy(&file, &copy).unwrap();
    let ours = World::on_disk(&file, keys.clone(), NOW);
    (ours, move |now| World::on_disk(&copy, keys.clone(), now), serials)
}

#[test]
fn two_logs_by_one_feed_key_end_all_belief() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, restored, [a, b]) = twins(folder.path());
    let forked = restored(NOW);
    let mut relying = Relying::started(&ours, NOW);
    ours.revoke(&a);
    forked.revoke(&b);
    assert!(matches!(relying.take(&ours.frame(0, 9)), Ok(Progress::Confirmed(_))));
    assert_eq!(relying.take(&forked.frame(1, 9)), Err(FollowError::Forked), "same size, other root");
    // For ever, whoever speaks.
    let as_of = relying.as_of();
    relying.now = ours.tick(SECOND);
    assert_eq!(relying.take(&ours.frame(1, 9)), Err(FollowError::Forked));
    assert_eq!(relying.follower.snapshot(&ours.snapshot(), relying.now), Err(FollowError::Forked));
    assert_eq!(relying.as_of(), as_of);
    assert!(matches!(relying.status(&a), Status::Revoked(_)));
}

#[test]
fn a_log_that_grew_from_another_past_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, restored, [a, b]) = twins(folder.path());
    let forked = restored(NOW);
    let mut relying = Relying::started(&ours, NOW);
    ours.revoke(&a);
    assert!(matches!(relying.take(&ours.frame(0, 9)), Ok(Progress::Confirmed(_))));
    forked.revoke(&b);
    forked.revoke(&a);
    relying.now = forked.tick(SECOND);
    for _ in 0..3 {
        assert_eq!(relying.take(&forked.frame(1, 9)), Err(FollowError::OtherRoot));
    }
    assert_eq!(relying.as_of(), NOW);
}

#[test]
fn a_log_that_lost_records_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, restored, [a, _]) = twins(folder.path());
    let mut relying = Relying::started(&ours, NOW);
    ours.revoke(&a);
    assert!(matches!(relying.take(&ours.frame(0, 9)), Ok(Progress::Confirmed(_))));
    // Restored from a backup that lacks the revocation.
    let restored = restored(NOW.plus(DAY));
    relying.now = NOW.plus(DAY);
    assert_eq!(relying.take(&restored.frame(1, 9)), Err(FollowError::Forked));
    assert!(matches!(relying.status(&a), Status::Revoked(_)));
}

#[test]
fn a_full_crl_is_a_view_where_there_is_no_feed_and_a_shard_is_not() {
    let world = World::new();
    let [(revoked, _), (held, _), (good, _)] = ["a", "b", "c"].map(|n| world.certified(n, Profile::Standard));
    world.revoke(&revoked);
    block_on(world.kakunin.hold(&world.acme, &held)).unwrap();
    let crl = |shard| block_on(world.kakunin.published_crl(&world.issuer(), shard)).unwrap();
    let issuer = world.kakunin.issuer();
    let view = Snapshot::from_crl(&issuer, &crl(None).der, NOW).unwrap();
    for (serial, expected) in [
        (&revoked, Status::Revoked(Reason::KeyCompromise)),
        (&held, Status::Revoked(Reason::CertificateHold)),
        (&good, Status::Good),
    ] {
        assert_eq!(view.status(&world.issuer(), serial, NOW), (expected, NOW.minus(5 * MINUTE)));
    }
    // As old as the CRL says: a verifier denies unless it was told that this is enough.
    assert!(NOW.since(view.as_of(&world.issuer()).unwrap()) > 20 * SECOND);
    let shard = issuer.shard_of(&revoked);
    let refused = |der: &[u8], now| Snapshot::from_crl(&issuer, der, now).unwrap_err();
    assert!(matches!(refused(&crl(Some(shard)).der, NOW), CrlRefused::Malformed(_)));
    assert_eq!(refused(&crl(None).der, NOW.plus(2 * HOUR)), CrlRefused::NotValid);
    let stranger = World::new();
    let foreign = block_on(stranger.kakunin.published_crl(&stranger.issuer(), None)).unwrap();
    assert_eq!(refused(&foreign.der, NOW), CrlRefused::Issuer);
    let mut bent = crl(None).der.clone();
    *bent.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&bent, NOW), CrlRefused::Signature);
}
