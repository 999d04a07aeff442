//! Frames and snapshots that are not believed.

use kakunin_core::feed::{FeedError, MAX_ENTRIES};
use kakunin_core::id::Serial;
use kakunin_core::issue::Profile;
use kakunin_core::log::note::NoteError;
use kakunin_core::time::{MINUTE, SECOND};
use kakunin_verify::feed::{FollowError, Progress};
use kakunin_verify::revocation::Status;
use pollster::block_on;

use crate::world::{NOW, Relying, World};

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
