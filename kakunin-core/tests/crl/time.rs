//! The time of CRLs: each is later than the last, and what waits is not forgotten.

use std::collections::BTreeSet;

use kakunin_core::id::SerialNumber;
use kakunin_core::issue::Profile;
use kakunin_core::time::{HOUR, MINUTE, SECOND};
use pollster::block_on;

use crate::common::NOW;
use crate::world::world;

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
    // On another shard than the one that is published often: one in 512 is on the same.
    let (second, _) =
        std::iter::repeat_with(|| w.issue(Profile::Standard)).find(|(_, of)| *of != shard).unwrap();
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
