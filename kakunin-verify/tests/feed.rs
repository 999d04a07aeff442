//! Following a feed: what a follower believes is what the service decided, and nothing that was altered,
//! held back, replayed or forked.

#![cfg(feature = "feed")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::feed::FeedError;
use kakunin_core::id::{IssuerId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::sink::{Append, Head, LogId};
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::state::{Change, Kind};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{ManualClock, SECOND, UnixTime};
use kakunin_kms::local::LocalKeys;
use kakunin_verify::feed::{FollowError, Followed, Follower};
use kakunin_verify::revocation::{RevocationHandle, RevocationView, Status};
use kakunin_verify::{Policy, TrustAnchor, Verifier};
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

fn config() -> Config {
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    config
}

fn world() -> World {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    parts.clock = clock.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    World { kakunin, parts, clock, acme }
}

impl World {
    fn issue(&self) -> (Serial, Vec<u8>) {
        let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.register(&self.acme, spec)).unwrap().id;
        let source = KeySource::Provider(KeyAlgorithm::P256);
        let issued = block_on(self.kakunin.certify(&self.acme, &agent, Profile::Standard, source)).unwrap();
        (issued.facts.serial, issued.der)
    }

    fn revoke(&self, serial: &Serial) {
        block_on(self.kakunin.revoke(&self.acme, serial, Cause::KeyCompromise)).unwrap();
    }

    fn issuer(&self) -> IssuerId {
        self.kakunin.issuer().id()
    }

    fn frame(&self, after: u64, limit: usize) -> Vec<u8> {
        block_on(self.kakunin.feed(&self.issuer(), after, limit)).unwrap().frame.to_json().unwrap()
    }

    fn snapshot(&self) -> Vec<u8> {
        let snapshot = block_on(self.kakunin.feed_snapshot(&self.issuer())).unwrap();
        serde_json::to_vec(&serde_json::json!({ "data": &*snapshot })).unwrap()
    }

    fn follower(&self) -> (Follower, RevocationHandle) {
        let handle = RevocationHandle::default();
        (Follower::new(self.kakunin.feed_verifier(), self.issuer(), handle.clone()).unwrap(), handle)
    }

    fn at(&self, millis: u64) -> UnixTime {
        self.clock.set(NOW.plus(millis));
        NOW.plus(millis)
    }
}

fn status(handle: &RevocationHandle, world: &World, serial: &Serial) -> Status {
    handle.status(&world.issuer(), serial, NOW).0
}

#[test]
fn a_follower_knows_what_the_service_decided() {
    let w = world();
    let (mut follower, handle) = w.follower();
    let serials: Vec<_> = (0..40).map(|_| w.issue().0).collect();
    assert_eq!(status(&handle, &w, &serials[0]), Status::Unknown, "nothing is known before the first frame");
    assert_eq!(follower.frame(&w.frame(0, 1_000), NOW), Ok(Followed::Confirmed(NOW)));
    let mut step = 0;
    // Decisions in an order that depends on nothing but the numbers.
    for round in 0..400_u64 {
        let pick = round.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17);
        let serial = &serials[usize::try_from(pick % 40).unwrap()];
        let decided = match pick / 40 % 5 {
            0 => block_on(w.kakunin.revoke(&w.acme, serial, Cause::OperatorInitiated)).is_ok(),
            1 | 2 => block_on(w.kakunin.hold(&w.acme, serial)).is_ok(),
            _ => block_on(w.kakunin.release(&w.acme, serial)).is_ok(),
        };
        if !decided || pick.is_multiple_of(3) {
            continue;
        }
        step += 1;
        let now = w.at(step * 100);
        // In small pages, so that frames cover less than their checkpoint.
        let mut next = follower.size();
        loop {
            let frame = w.frame(next, 2);
            match follower.frame(&frame, now).unwrap() {
                Followed::Confirmed(time) => break assert_eq!(time, now.whole_secs()),
                Followed::More => next += 2,
            }
        }
        let live = w.kakunin.revocations();
        // Whoever comes now knows the same, from a snapshot; those are made anew every 5 s.
        let (mut late, newcomer) = w.follower();
        late.snapshot(&w.snapshot(), now).unwrap();
        late.frame(&w.frame(late.size(), 1_000), now).unwrap();
        assert_eq!(late.size(), follower.size());
        for serial in &serials {
            let expected = live.reason(&w.issuer(), serial).unwrap().map_or(Status::Good, Status::Revoked);
            assert_eq!((status(&handle, &w, serial), status(&newcomer, &w, serial)), (expected, expected));
        }
    }
    assert!(step > 50, "{step}");
}

#[test]
fn a_feed_that_is_cut_ends_in_refusal_at_the_bound_and_not_later() {
    let w = world();
    let (serial, der) = w.issue();
    let (mut follower, handle) = w.follower();
    follower.snapshot(&w.snapshot(), NOW).unwrap();
    let anchor = TrustAnchor::new(w.kakunin.root().as_der(), w.kakunin.place().trust_domain.clone()).unwrap();
    let builder = Verifier::builder(handle).anchor(anchor).issuer(w.kakunin.issuer().as_der());
    let verifier = builder.policy(Policy::strict()).build(NOW).unwrap();
    let agent = verifier.verify(&[&der], NOW).unwrap();
    // Revoked, and the feed is cut: it cannot be known here.
    w.revoke(&serial);
    agent.authorize("read:accounts", NOW.plus(20 * SECOND)).unwrap();
    let denied = agent.authorize("read:accounts", NOW.plus(20 * SECOND + 1)).unwrap_err();
    assert_eq!(denied.code(), "verify_unavailable");
    // Back again, it is known at once.
    let now = w.at(30 * SECOND);
    follower.frame(&w.frame(follower.size(), 1_000), now).unwrap();
    assert_eq!(agent.authorize("read:accounts", now).unwrap_err().code(), "agent_revoked");
}

#[test]
fn what_is_altered_held_back_or_replayed_is_not_believed() {
    let w = world();
    let (mut follower, handle) = w.follower();
    let (one, two) = (w.issue().0, w.issue().0);
    let old = w.frame(0, 1_000);
    w.revoke(&one);
    let now = w.at(2 * SECOND);
    let first = w.frame(0, 1_000);
    follower.frame(&first, now).unwrap();
    // An old word of the feed key, which says less.
    assert_eq!(follower.frame(&old, now), Err(FollowError::Replayed));
    w.revoke(&two);
    let now = w.at(4 * SECOND);
    let second = w.frame(1, 1_000);
    let text = String::from_utf8(second.clone()).unwrap();
    // A record that was taken out, or put before its turn.
    let without = String::from_utf8(w.frame(2, 1_000)).unwrap();
    assert_eq!(follower.frame(without.as_bytes(), now), Err(FollowError::Gap { from: 2, known: 1 }));
    let hidden = without.replace("\"from\":2", "\"from\":1");
    // The checkpoint covers more than there is: not believed, whatever comes.
    assert_eq!(follower.frame(hidden.as_bytes(), now), Ok(Followed::More));
    follower.interrupted();
    assert_eq!(follower.as_of(), NOW.plus(2 * SECOND), "and not confirmed");
    // Records of the first frame under the checkpoint of the second.
    let first = String::from_utf8(first).unwrap().replace("\"from\":0", "\"from\":1");
    let at = |text: &str| text.find("\"checkpoint\"").unwrap();
    let mixed = format!("{}{}", &first[..at(&first)], &text[at(&text)..]);
    assert_eq!(follower.frame(mixed.as_bytes(), now), Err(FollowError::Mismatch));
    for (from, to, expected) in [
        ("\"checkpoint\":\"a", "\"checkpoint\":\"b", FollowError::Feed(FeedError::Note(forged()))),
        ("\"salt\":\"", "\"salt\":\"A", FollowError::Feed(FeedError::Malformed)),
        ("{", "[", FollowError::Feed(FeedError::Malformed)),
    ] {
        assert_eq!(follower.frame(text.replacen(from, to, 1).as_bytes(), now), Err(expected), "{from}");
    }
    assert_eq!(follower.frame(&second, now.minus(5 * 60 * SECOND)), Err(FollowError::Future));
    assert_eq!(status(&handle, &w, &two), Status::Good, "nothing of all that was published");
    follower.frame(&second, now).unwrap();
    assert!(matches!(status(&handle, &w, &two), Status::Revoked(_)));
    // Of another issuing CA, or by another key.
    let other = block_on(w.kakunin.rotate_issuing(None)).unwrap().id();
    let foreign = block_on(w.kakunin.feed(&other, 0, 10)).unwrap().frame.to_json().unwrap();
    assert_eq!(follower.frame(&foreign, now), Err(FollowError::Feed(FeedError::OtherLog)));
    let stranger = world();
    let unsigned = follower.frame(&stranger.frame(0, 10), now).unwrap_err();
    assert!(matches!(unsigned, FollowError::Feed(FeedError::Note(_))), "{unsigned}");
}

fn forged() -> kakunin_core::log::note::NoteError {
    kakunin_core::log::note::NoteError::Forged
}

#[test]
fn a_log_that_was_forked_is_never_believed_again() {
    // A store that is put back to what it was, and goes on differently, with the same keys.
    for shorter in [false, true] {
        let w = world();
        let (mut follower, handle) = w.follower();
        let (one, _) = w.issue();
        let copy = w.copied();
        w.revoke(&one);
        let now = w.at(2 * SECOND);
        follower.frame(&w.frame(0, 1_000), now).unwrap();
        if !shorter {
            let serial = w.issue_in(&copy);
            block_on(copy.revoke(&w.acme, &serial, Cause::Superseded)).unwrap();
        }
        let now = w.at(4 * SECOND);
        let frame = block_on(copy.feed(&w.issuer(), 0, 1_000)).unwrap().frame.to_json().unwrap();
        assert_eq!(follower.frame(&frame, now), Err(FollowError::Forked));
        // Also not when the true one comes back.
        let now = w.at(6 * SECOND);
        assert_eq!(follower.frame(&w.frame(1, 1_000), now), Err(FollowError::Forked));
        assert_eq!(follower.as_of(), NOW.plus(2 * SECOND), "it grows old");
        assert!(matches!(status(&handle, &w, &one), Status::Revoked(_)));
    }
}

impl World {
    /// The same deployment in another store, without what comes after.
    fn copied(&self) -> Kakunin {
        let parts =
            Parts { clock: self.clock.clone(), ..Parts::new(MemoryStore::new(), self.parts.keys.clone()) };
        for log in [LogId::System, LogId::Tenant(self.acme.clone())] {
            let (next, checkpoint) = block_on(self.parts.sink.head(&log)).unwrap();
            let entries = block_on(self.parts.sink.read(&log, 0, usize::MAX)).unwrap();
            let (expected, changes, revocations) = (Head::default(), Vec::new(), Vec::new());
            let checkpoint = checkpoint.unwrap();
            let of = log.clone();
            let append = Append { log, expected, next, entries, checkpoint, changes, revocations };
            block_on(parts.sink.append(vec![append])).unwrap();
            for kind in Kind::ALL {
                let rows = block_on(self.parts.state.scan(&of, kind, None, 1_000)).unwrap();
                let put = |(key, value)| Change { kind, key, value: Some(value) };
                let rows: Vec<_> = rows.into_iter().map(put).collect();
                block_on(parts.state.put(&of, &rows)).unwrap();
            }
        }
        block_on(Kakunin::open(config(), parts)).unwrap()
    }

    fn issue_in(&self, kakunin: &Kakunin) -> Serial {
        let spec = NewAgent::new("two", MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(kakunin.register(&self.acme, spec)).unwrap().id;
        let source = KeySource::Provider(KeyAlgorithm::P256);
        let issued = block_on(kakunin.certify(&self.acme, &agent, Profile::Standard, source)).unwrap();
        issued.facts.serial
    }
}
