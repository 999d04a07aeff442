//! Whatever happens in whatever order.

use std::collections::{BTreeSet, HashMap};

use kakunin_core::id::Serial;
use kakunin_core::issue::Profile;
use kakunin_core::time::{HOUR, SECOND, UnixTime};
use pollster::block_on;

use crate::world::{Is, World, world};

/// Numbers as random as a test needs, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
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
                    block_on(w.kakunin.tenant(&w.acme).hold(&all[one].0)).unwrap();
                    all[one].3 = Is::Held;
                }
                5 if all.get(one).is_some_and(|(.., is)| *is != Is::Revoked) => {
                    block_on(w.kakunin.tenant(&w.acme).release(&all[one].0)).unwrap();
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
