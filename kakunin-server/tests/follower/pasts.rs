//! Logs that fork, grow from another past, or lose records.

use std::path::Path;
use std::sync::Arc;

use kakunin_core::id::Serial;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyProvider;
use kakunin_core::time::{DAY, SECOND, UnixTime};
use kakunin_kms::local::LocalKeys;
use kakunin_verify::feed::{FollowError, Progress};
use kakunin_verify::revocation::Status;

use crate::world::{NOW, Relying, World};

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
