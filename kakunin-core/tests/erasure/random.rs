//! Whatever is done in whatever order: what is not erased reads back, and what is erased does not.

use std::collections::BTreeMap;

use kakunin_core::id::{AgentId, Serial};
use kakunin_core::store::state::Kind;
use pollster::block_on;

use crate::common::{assert_folded, config};
use crate::world::{World, at, world};

/// A generator whose numbers are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// An event, as it should be read.
struct Was {
    index: u64,
    number: usize,
    agent: AgentId,
    month: usize,
    erased: bool,
}

type Rows = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

const MONTHS: [&str; 4] = ["2026-11", "2026-12", "2027-01", "2027-02"];

#[test]
fn what_is_not_erased_reads_back_whatever_is_done_in_between() {
    for seed in 1..=6 {
        let mut w = world();
        let agents = ["one", "two", "three"].map(|name| w.agent(name));
        let (mut dice, mut events, mut now) = (Dice(seed * 0x9e37_79b9), Vec::new(), 0);
        for step in 0..120 {
            match dice.roll(12) {
                0 => now = (now + 1).min(MONTHS.len() - 1),
                1 => erase(&w, &agents, &mut dice, &mut events, now),
                2 => w.restart(),
                3 if step % 3 == 0 => {
                    let lived = without_ids(w.rows());
                    let rebuilt = without_ids(w.rebuild());
                    assert!(rebuilt == lived, "seed {seed}, step {step}");
                }
                4 => _ = block_on(w.kakunin.tend()).unwrap(),
                5 if step % 4 == 0 => assert_folded(&config(), &w.parts),
                _ => {
                    w.clock.set(at(&format!("{}-15", MONTHS[now])));
                    let (agent, serial) = agents[usize::try_from(dice.roll(3)).unwrap()];
                    // A certificate of high risk ends in a day: by then it is not accepted, and recorded all the same.
                    let index = match step % 2 {
                        0 => w.tries(&serial, step).unwrap(),
                        _ => w.shows(&serial, step),
                    };
                    events.push(Was { index, number: step, agent, month: now, erased: false });
                }
            }
        }
        w.restart();
        for was in &events {
            match was.erased {
                true => {
                    let (details, by) = w.details(was.index);
                    assert!(details.is_none() && by.is_some(), "seed {seed}, event {}", was.index);
                }
                false => w.is_there(was.index, was.number),
            }
        }
        assert_eq!(w.damage(), Vec::<String>::new(), "seed {seed}");
    }
}

/// Rows of event ids that are a day old go sooner or later.
fn without_ids(mut rows: Rows) -> Rows {
    rows.retain(|(kind, _), _| *kind != Kind::Dedup.code());
    rows
}

fn erase(w: &World, agents: &[(AgentId, Serial); 3], dice: &mut Dice, events: &mut [Was], now: usize) {
    w.clock.set(at(&format!("{}-15", MONTHS[now])));
    let (agent, _) = agents[usize::try_from(dice.roll(3)).unwrap()];
    let bound = u64::try_from(now).unwrap() + 1;
    let mut months = [dice.roll(bound), dice.roll(bound)].map(|month| usize::try_from(month).unwrap());
    months.sort_unstable();
    let [from, to] = months;
    w.erase(&agent, MONTHS[from], MONTHS[to]).unwrap();
    let hit = |was: &&mut Was| was.agent == agent && (from..=to).contains(&was.month);
    events.iter_mut().filter(hit).for_each(|was| was.erased = true);
}
