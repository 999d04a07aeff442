//! Publishing: after failures, in bulk, and nothing of others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::store::audit::AuditSink;
use kakunin_core::time::{HOUR, SECOND};
use kakunin_core::x509::crl::{CrlRefused, CrlView};
use pollster::block_on;

use crate::common::NOW;
use crate::world::{World, world};

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
