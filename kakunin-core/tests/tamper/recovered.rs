//! Going on from a restored copy: another origin, and nobody is accepted again.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::id::Serial;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Error, Evidence, Kakunin, LogCheck, Recovered, RecoveryOptions, decrypted};
use kakunin_core::store::guard::{Guard, GuardFile};
use kakunin_core::store::sqlite::SqliteReader;
use pollster::block_on;

use crate::world::{Running, World};

/// A copy was made; then one agent was revoked, one held, and another came and was revoked as well.
struct Lost {
    world: World,
    revoked: Serial,
    held: Serial,
    good: Serial,
    unknown: Serial,
    crl: Vec<u8>,
    feed: Vec<u8>,
    kept: String,
}

fn lost() -> Lost {
    let world = World::new(true);
    let running = world.open();
    let [revoked, held, good] = ["one", "two", "three"].map(|name| running.certified(name));
    drop(running);
    world.keep("backup");
    let running = world.open();
    let tenant = running.kakunin.tenant(&running.acme);
    block_on(tenant.revoke(&revoked, Cause::KeyCompromise)).unwrap();
    block_on(tenant.hold(&held)).unwrap();
    let unknown = running.certified("four");
    block_on(tenant.revoke(&unknown, Cause::RegulatoryOrder)).unwrap();
    block_on(running.kakunin.keep_guard()).unwrap();
    let crl = block_on(running.kakunin.crl(None)).unwrap();
    let feed = feed_of(&running);
    let kept = running.note();
    drop(running);
    world.put_back("backup");
    Lost { world, revoked, held, good, unknown, crl, feed, kept }
}

fn recover(world: &World, evidence: Vec<Evidence>) -> Result<(Running, Recovered), Error> {
    let options = RecoveryOptions { evidence, accept_unknown: false };
    let (kakunin, recovered) = block_on(Kakunin::recover(World::config(), world.parts()?, &options))?;
    Ok((Running::over(kakunin)?, recovered))
}

fn reason(running: &Running, serial: &Serial) -> Option<Reason> {
    running.kakunin.revocations().reason(&running.kakunin.issuer().id(), serial).unwrap()
}

fn check(lost: &Lost, running: &Running) {
    assert_eq!(reason(running, &lost.revoked), Some(Reason::KeyCompromise));
    assert_eq!(reason(running, &lost.held), Some(Reason::CertificateHold));
    assert_eq!(reason(running, &lost.unknown), Some(Reason::PrivilegeWithdrawn));
    assert_eq!(reason(running, &lost.good), None);
    assert_eq!(running.verify(&running.checkpoint()), Ok(()));
    assert_eq!(running.finds(), Vec::<String>::new());
    // Whoever reads CRLs is told as well.
    let crl = block_on(running.kakunin.crl(None)).unwrap();
    let crl = kakunin_core::x509::crl::CrlView::parse(&crl).unwrap();
    let serials: Vec<_> = crl.serials().collect();
    for serial in [lost.revoked, lost.held, lost.unknown] {
        assert!(serials.contains(&serial.into()), "{serial}");
    }
}

#[test]
fn a_restored_copy_goes_on_under_another_origin_and_accepts_nobody_again() {
    for by_feed in [false, true] {
        let lost = lost();
        let world = &lost.world;
        assert_eq!(world.refused(), "rolled_back");
        let brought =
            if by_feed { Evidence::FeedSnapshot(lost.feed.clone()) } else { Evidence::Crl(lost.crl.clone()) };
        let (running, recovered) = recover(world, vec![brought]).unwrap();
        assert_eq!(recovered.epoch, 2);
        assert_eq!((recovered.revoked.len(), &recovered.unknown), (3, &vec![lost.unknown]));
        let acme = recovered.logs.iter().find(|log| log.log.to_string() == "acme").unwrap();
        assert!(acme.lost > 0 && recovered.logs.iter().all(|log| log.lost < 100), "{recovered:?}");
        check(&lost, &running);
        let checkpoint = running.checkpoint();
        assert_eq!(checkpoint.origin, "agents.example/acme/2");
        assert!(running.verifier().to_string().starts_with("agents.example/acme/2+"));
        let entries = block_on(running.kakunin.tenant(&running.acme).entries(acme.size, 1)).unwrap();
        let Body::Control(control) = Record::open(&entries[0]).unwrap().body else { panic!("an event") };
        let Control::LogRecovered(recovery) = *control else { panic!("{control:?}") };
        assert_eq!((recovery.epoch, recovery.lost.as_deref()), (2, Some(&*lost.kept)));
        assert!(recovery.from.starts_with("agents.example/acme/1\n"), "{}", recovery.from);
        drop(running);
        check(&lost, &world.open());
        // The copy from before the recovery is an older one from now on.
        world.put_back("backup");
        assert_eq!(world.refused(), "rolled_back");
        let (running, recovered) = recover(world, vec![Evidence::Crl(lost.crl.clone())]).unwrap();
        assert_eq!(recovered.epoch, 3, "no origin stands for two logs");
        check(&lost, &running);
    }
}

#[test]
fn a_backup_that_is_restored_twice_gets_no_name_that_the_feed_told_of() {
    let lost = lost();
    let world = &lost.world;
    let (running, _) = recover(world, vec![Evidence::FeedSnapshot(lost.feed.clone())]).unwrap();
    let feed = feed_of(&running);
    drop(running);
    // The guard is lost as well.
    world.put_back("backup");
    fs::remove_file(world.path("guard")).unwrap();
    let (running, recovered) = recover(world, vec![Evidence::FeedSnapshot(feed)]).unwrap();
    assert_eq!(recovered.epoch, 3);
    check(&lost, &running);
}

#[test]
fn nothing_is_done_where_it_is_not_known_what_was_revoked_or_somebody_else_says_it() {
    let lost = lost();
    let (world, guard) = (&lost.world, fs::read(lost.world.path("guard")).unwrap());
    let heads = |world: &World| {
        let sql = "SELECT group_concat(checkpoint) FROM batch";
        world.sql().query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    let before = heads(world);
    let other = World::new(false);
    let other = other.open();
    let theirs = block_on(other.kakunin.crl(None)).unwrap();
    let (mut forged, mut feed) = (lost.crl.clone(), lost.feed.clone());
    *forged.last_mut().unwrap() ^= 1;
    let body = feed.windows(8).position(|window| window == b"\"body\":\"").unwrap();
    let at = body + 20;
    feed[at] = if feed[at] == b'A' { b'B' } else { b'A' };
    for (evidence, code) in [
        (vec![], "revocations_unknown"),
        (vec![Evidence::Crl(theirs.clone())], "revocations_unknown"),
        (vec![Evidence::Crl(forged)], "crl_refused"),
        (vec![Evidence::Crl(b"no CRL".to_vec())], "crl_refused"),
        (vec![Evidence::Crl(lost.crl.clone()), Evidence::FeedSnapshot(b"{}".to_vec())], "feed_malformed"),
    ] {
        assert_eq!(recover(world, evidence).err().expect(code).code(), code);
    }
    assert!(recover(world, vec![Evidence::FeedSnapshot(feed)]).is_err());
    assert_eq!((heads(world), fs::read(world.path("guard")).unwrap()), (before, guard));
    let options = RecoveryOptions { accept_unknown: true, ..RecoveryOptions::default() };
    let (kakunin, recovered) =
        block_on(Kakunin::recover(World::config(), world.parts().unwrap(), &options)).unwrap();
    assert_eq!((recovered.epoch, recovered.revoked.len()), (2, 0), "an order by name");
    drop(kakunin);
    // What a bundle holds of others is in nobody's way, and named.
    world.put_back("backup");
    let (running, recovered) =
        recover(world, vec![Evidence::Crl(theirs), Evidence::Crl(lost.crl.clone())]).unwrap();
    assert_eq!(recovered.left_out.len(), 1);
    assert!(recovered.left_out[0].contains(&other.kakunin.issuer().id().to_string()), "{recovered:?}");
    check(&lost, &running);
}

fn feed_of(running: &Running) -> Vec<u8> {
    let snapshot = block_on(running.kakunin.feed_snapshot(&running.kakunin.issuer().id())).unwrap();
    serde_json::to_vec(&serde_json::json!({ "data": &*snapshot })).unwrap()
}

#[test]
fn a_shard_and_what_is_older_than_the_copy_do_not_tell_of_all_that_was_revoked() {
    let world = World::new(true);
    let running = world.open();
    let [revoked, other, before] = ["one", "two", "three"].map(|name| running.certified(name));
    let (old_crl, old_feed) = (block_on(running.kakunin.crl(None)).unwrap(), feed_of(&running));
    let revoke = |running: &Running, serial: &Serial| {
        block_on(running.kakunin.tenant(&running.acme).revoke(serial, Cause::KeyCompromise)).unwrap();
    };
    revoke(&running, &before);
    drop(block_on(running.kakunin.crl(None)).unwrap());
    drop(running);
    world.keep("backup");
    let running = world.open();
    let same_feed = feed_of(&running);
    revoke(&running, &revoked);
    revoke(&running, &other);
    let shard = running.kakunin.issuer().shard_of(&revoked);
    let shard = block_on(running.kakunin.crl(Some(shard))).unwrap();
    block_on(running.kakunin.keep_guard()).unwrap();
    drop(running);
    world.put_back("backup");
    for brought in [Evidence::Crl(old_crl), Evidence::FeedSnapshot(old_feed), Evidence::Crl(shard.clone())] {
        let error = recover(&world, vec![brought.clone()]).err().expect("too little");
        assert_eq!(error.code(), "revocations_unknown", "{brought:?}");
        assert!(error.to_string().contains("shard"), "{error}");
    }
    // What a shard says is taken beside what tells of all, or by an order.
    for (all, accept_unknown) in [(vec![Evidence::FeedSnapshot(same_feed)], false), (vec![], true)] {
        world.put_back("backup");
        let options =
            RecoveryOptions { evidence: [vec![Evidence::Crl(shard.clone())], all].concat(), accept_unknown };
        let parts = world.parts().unwrap();
        let (kakunin, recovered) = block_on(Kakunin::recover(World::config(), parts, &options)).unwrap();
        assert_eq!(recovered.revoked, [revoked]);
        let running = Running::over(kakunin).unwrap();
        assert_eq!(reason(&running, &revoked), Some(Reason::KeyCompromise));
        assert_eq!(reason(&running, &other), None, "nobody told of it");
    }
}

/// Fails from its second write on: the first says that a recovery was begun.
#[derive(Debug)]
struct Once(GuardFile, AtomicUsize);

#[async_trait]
impl Guard for Once {
    async fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read().await
    }

    async fn write(&self, value: &[u8]) -> Result<(), StoreError> {
        match self.1.fetch_add(1, Ordering::SeqCst) {
            0 => self.0.write(value).await,
            _ => Err(StoreError::unavailable("a crash")),
        }
    }
}

#[test]
fn a_recovery_that_was_cut_off_is_gone_on_with_and_nothing_opens_before() {
    let lost = lost();
    for brought in [Evidence::Crl(lost.crl.clone()), Evidence::FeedSnapshot(lost.feed.clone())] {
        cut_off(&lost, &brought);
        lost.world.put_back("backup");
        fs::remove_file(lost.world.path("guard")).unwrap();
    }
}

fn cut_off(lost: &Lost, brought: &Evidence) {
    let world = &lost.world;
    let mut parts = world.parts().unwrap();
    parts.guard = Some(Arc::new(Once(GuardFile::new(world.path("guard")), AtomicUsize::new(0))));
    let options = RecoveryOptions { evidence: vec![brought.clone()], accept_unknown: false };
    block_on(Kakunin::recover(World::config(), parts, &options)).unwrap_err();
    assert_eq!(world.refused(), "recovery_unfinished");
    let renewed = block_on(Kakunin::renew_guard(World::config(), world.parts().unwrap()));
    assert_eq!(renewed.unwrap_err().code(), "recovery_unfinished");
    let (running, recovered) = recover(world, vec![brought.clone()]).unwrap();
    assert_eq!((recovered.epoch, recovered.logs.len()), (2, 0), "the epoch had begun");
    check(lost, &running);
    let note = running.note();
    drop(running);
    let running = world.open();
    assert_eq!(Checkpoint::open(&note, &running.verifier()).unwrap().size, running.checkpoint().size);
}

#[test]
fn a_guard_that_nobody_can_read_is_in_no_recoverys_way_and_is_kept() {
    let lost = lost();
    let world = &lost.world;
    let other = World::new(true);
    drop(other.open());
    for (name, bad) in
        [("guard.bad", b"{ torn".to_vec()), ("guard.bad-2", fs::read(other.path("guard")).unwrap())]
    {
        world.put_back("backup");
        fs::write(world.path("guard"), &bad).unwrap();
        let refused = world.try_open().err().unwrap();
        assert_eq!(refused.code(), "guard_foreign");
        assert!(refused.to_string().contains("log recover"), "{refused}");
        let untold = recover(world, Vec::new()).err().unwrap();
        assert_eq!(untold.code(), "revocations_unknown");
        assert!(!world.path(name).exists(), "nothing was changed");
        let (running, recovered) = recover(world, vec![Evidence::Crl(lost.crl.clone())]).unwrap();
        assert_eq!(recovered.bad_guard, Some(world.path(name).display().to_string()));
        assert_eq!(fs::read(world.path(name)).unwrap(), bad);
        check(&lost, &running);
        drop(running);
        check(&lost, &world.open());
    }
}

#[test]
fn what_was_kept_of_what_was_lost_is_told_of_by_the_record_and_what_comes_after_is_checked() {
    let lost = lost();
    let world = &lost.world;
    let (running, recovered) = recover(world, vec![Evidence::Crl(lost.crl.clone())]).unwrap();
    let size = recovered.logs.iter().find(|log| log.log.to_string() == "acme").unwrap().size;
    running.observe(lost.good, 3);
    let (log, note) = (LogId::Tenant(running.acme.clone()), running.note());
    drop(running);
    let store = Arc::new(SqliteReader::open(world.path("k.db")).unwrap());
    let sink = block_on(decrypted(store.clone(), store.clone(), &*world.parts().unwrap().keys)).unwrap();
    let check = block_on(LogCheck::new(&*sink, &*store, None)).unwrap();
    let kept = [lost.kept.clone(), note];
    for from in [0, size + 3] {
        let checked = block_on(check.log(&log, from, &kept, &mut |_| {})).unwrap();
        assert_eq!((checked.bad, checked.lost), (None, 1), "from {from}");
        assert_eq!(checked.from > size, from > 0);
    }
    // One of the new origin is not passed over.
    world.keep("copy");
    let running = world.open();
    running.observe(lost.good, 5);
    let ahead = [running.note()];
    drop(running);
    let store = Arc::new(SqliteReader::open(world.path("copy").join("k.db")).unwrap());
    let sink = block_on(decrypted(store.clone(), store.clone(), &*world.parts().unwrap().keys)).unwrap();
    let check = block_on(LogCheck::new(&*sink, &*store, None)).unwrap();
    let checked = block_on(check.log(&log, 0, &ahead, &mut |_| {})).unwrap();
    assert_eq!((checked.bad.map(|bad| bad.fault.code()), checked.lost), (Some("log_cut_off"), 0));
}
