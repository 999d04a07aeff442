//! A deployment that goes on from an older copy of its log.

use std::sync::Arc;

use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider};
use kakunin_core::service::{Config, Evidence, Kakunin, Parts, RecoveryOptions};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::{ManualClock, SECOND};
use kakunin_kms::local::LocalKeys;
use kakunin_verify::feed::{FollowError, Progress};
use kakunin_verify::revocation::Status;
use pollster::block_on;

use crate::world::{NOW, Relying, World};

#[test]
fn followers_begin_again_with_what_they_know_and_accept_nobody_again() {
    let folder = tempfile::tempdir().unwrap();
    let keys: Arc<dyn KeyProvider> = Arc::new(LocalKeys::ephemeral());
    let (file, copy) = (folder.path().join("one.db"), folder.path().join("two.db"));
    let first = World::on_disk(&file, keys.clone(), NOW);
    let [known, lost, later] = ["a", "b", "c"].map(|name| first.certified(name, Profile::Standard).0);
    drop(first);
    std::fs::copy(&file, &copy).unwrap();
    let ours = World::on_disk(&file, keys.clone(), NOW);
    let mut relying = Relying::started(&ours, NOW);
    ours.revoke(&known);
    // The newest CRL that anybody kept does not have the second.
    let crl = block_on(ours.kakunin.crl(None)).unwrap();
    ours.revoke(&lost);
    assert!(matches!(relying.take(&ours.frame(0, 9)), Ok(Progress::Confirmed(_))));
    let old = ours.frame(2, 9);
    drop(ours);
    let recovered = recovered(&copy, keys, crl);
    relying.now = recovered.tick(SECOND);
    assert_eq!(relying.take(&recovered.frame(2, 9)), Err(FollowError::Recovered));
    assert!(relying.follower.needs_snapshot());
    assert!(matches!(relying.status(&lost), Status::Revoked(_)), "what was known stays known meanwhile");
    relying.follower.snapshot(&recovered.snapshot(), relying.now).unwrap();
    for serial in [&known, &lost] {
        assert!(matches!(relying.status(serial), Status::Revoked(_)), "{serial}");
    }
    recovered.revoke(&later);
    let frame = recovered.frame(relying.follower.cursor(), 9);
    assert!(matches!(relying.take(&frame), Ok(Progress::Confirmed(_))));
    assert!(matches!(relying.status(&later), Status::Revoked(_)));
    assert_eq!(relying.take(&old), Err(FollowError::Replayed), "what the lost log said is over");
    // Whoever comes now is told what the recovered log says, from its beginning as well.
    let newcomer = Relying::started(&recovered, relying.now);
    assert!(matches!(newcomer.status(&known), Status::Revoked(_)));
    let whole = block_on(recovered.kakunin.feed(&recovered.issuer(), 0, 99)).unwrap();
    let changes =
        whole.frame.entries.iter().filter_map(|entry| entry.open(&recovered.issuer()).unwrap().change);
    assert_eq!(changes.count(), 2, "the record of the recovery is read over");
}

fn recovered(file: &std::path::Path, keys: Arc<dyn KeyProvider>, crl: Vec<u8>) -> World {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(SqliteStore::open(file).unwrap(), keys);
    parts.clock = clock.clone();
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let how = RecoveryOptions { evidence: vec![Evidence::Crl(crl)], accept_unknown: false };
    let (kakunin, done) = block_on(Kakunin::recover(config, parts, &how)).unwrap();
    assert_eq!((done.epoch, done.revoked.len()), (2, 1));
    World { kakunin, clock, acme: "acme".parse().unwrap() }
}
