//! What followers know: what the deployment knows.

use kakunin_core::issue::Profile;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::time::{HOUR, MINUTE, SECOND};
use kakunin_core::x509::crl::CrlRefused;
use kakunin_verify::feed::Progress;
use kakunin_verify::revocation::{RevocationView, Snapshot, Status};
use pollster::block_on;

use crate::world::{NOW, Relying, World};

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
                0 => {
                    _ = block_on(world.kakunin.tenant(&world.acme).revoke(&serial, Cause::OperatorInitiated))
                }
                1..=10 => _ = block_on(world.kakunin.tenant(&world.acme).hold(&serial)),
                11..=18 => _ = block_on(world.kakunin.tenant(&world.acme).release(&serial)),
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
fn a_full_crl_is_a_view_where_there_is_no_feed_and_a_shard_is_not() {
    let world = World::new();
    let [(revoked, _), (held, _), (good, _)] = ["a", "b", "c"].map(|n| world.certified(n, Profile::Standard));
    world.revoke(&revoked);
    block_on(world.kakunin.tenant(&world.acme).hold(&held)).unwrap();
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
