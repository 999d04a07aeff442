//! The outbox against a store and a receiver that fail as chance has it.

use super::*;
use crate::time::{HOUR, SECOND};

const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

/// A store beside an outbox, and a receiver that fails as chance has it.
struct World {
    log: Vec<AgentId>,
    rows: BTreeMap<Place, Waiting>,
    next: u64,
    outbox: Outbox,
    now: UnixTime,
    flying: Vec<(AgentId, Item)>,
    /// What the receiver has, each with how often, and in which order of each agent.
    got: HashMap<u64, u32>,
    order: HashMap<AgentId, Vec<u64>>,
    seed: u64,
    /// Whose deliveries always fail, and for how long.
    poison: Option<AgentId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let (log, rows, got, order) = (Vec::new(), BTreeMap::new(), HashMap::new(), HashMap::new());
        let outbox = Outbox::from(0);
        Self { log, rows, next: 0, outbox, now: NOW, flying: Vec::new(), got, order, seed, poison: None }
    }

    fn chance(&mut self, of: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.seed >> 33) % of
    }

    fn write(&mut self) {
        for (place, waiting) in self.outbox.write() {
            match waiting {
                Some(waiting) => _ = self.rows.insert(place, waiting),
                None => _ = self.rows.remove(&place),
            }
        }
        self.next = self.outbox.next;
    }

    fn feed(&mut self, agent: AgentId) {
        let own = || self.rows.range((agent, 0)..=(agent, u64::MAX));
        let first: Vec<_> =
            own().take(self.outbox.appetite()).map(|((_, index), waiting)| (*index, *waiting)).collect();
        let rests = first.iter().position(|(_, waiting)| waiting.next.is_some());
        let here = rests.map_or(first.len(), |at| at + 1);
        let more = own().count() > here;
        self.outbox.restore(agent, first.into_iter().take(here), more, self.now);
    }

    fn step(&mut self, fails: u64) {
        while let Some(agent) = self.log.get(usize::try_from(self.outbox.next).unwrap())
            && self.outbox.has_room()
        {
            self.outbox.take((*agent, self.outbox.next));
            self.outbox.next += 1;
        }
        let hungry = self.outbox.hungry();
        if !hungry.is_empty() {
            self.write();
            hungry.into_iter().for_each(|agent| self.feed(agent));
        }
        while self.flying.len() < 16
            && let Some((agent, item)) = self.outbox.launch(self.now)
        {
            assert!(self.flying.iter().all(|(other, _)| *other != agent), "one at a time of each agent");
            self.flying.push((agent, item));
        }
        let most = WINDOW + OF_ONE + self.outbox.lanes.len();
        assert!(self.outbox.held <= most, "memory does not grow: {}", self.outbox.held);
        if self.flying.is_empty() {
            return;
        }
        let at = usize::try_from(self.chance(self.flying.len().try_into().unwrap())).unwrap();
        let (agent, item) = self.flying.swap_remove(at);
        let poisoned = self.poison == Some(agent);
        if poisoned || self.chance(100) < fails {
            let wait = if poisoned { HOUR } else { (1 + self.chance(20)) * SECOND };
            let attempts = item.waiting.attempts + 1;
            let waiting = Waiting { attempts, first: Some(self.now), next: Some(self.now.plus(wait)), wait };
            self.outbox.failed(agent, waiting, self.now);
        } else {
            *self.got.entry(item.index).or_default() += 1;
            self.order.entry(agent).or_default().push(item.index);
            self.outbox.landed(agent, self.now);
        }
        if self.chance(8) == 0 {
            self.write();
        }
    }

    /// The process ends: what was under way may have been delivered all the same.
    fn crash(&mut self) {
        self.flying.clear();
        self.outbox = Outbox::from(self.next);
        let agents: BTreeSet<_> = self.rows.keys().map(|(agent, _)| *agent).collect();
        agents.into_iter().for_each(|agent| self.feed(agent));
    }

    fn run_dry(&mut self) {
        for _ in 0..1_000_000 {
            self.step(0);
            if self.flying.is_empty() {
                let all = self.got.len() == self.log.len();
                if all && self.outbox.lanes.is_empty() {
                    return;
                }
                self.now = self.now.plus(SECOND);
            }
        }
        panic!("{} of {} were delivered", self.got.len(), self.log.len());
    }
}

fn agent(n: u64) -> AgentId {
    AgentId::from_bytes(u128::from(n).to_be_bytes())
}

#[test]
fn nothing_is_lost_and_each_agents_deliveries_come_in_their_order() {
    for seed in 0..12 {
        let mut w = World::new(seed);
        let (agents, fails) = (1 + w.chance(40), w.chance(60));
        let crashes = w.chance(3);
        for round in 0..300 {
            for _ in 0..w.chance(12) {
                let of = w.chance(agents);
                w.log.push(agent(of));
            }
            w.step(fails);
            w.now = w.now.plus(w.chance(2) * w.chance(3_000));
            if round % 100 == 99 && crashes > 0 {
                w.crash();
            }
        }
        w.run_dry();
        assert!(w.got.values().all(|times| *times == 1 || crashes > 0), "seed {seed}: once each");
        for (agent, order) in &w.order {
            let mut first = Vec::new();
            order.iter().for_each(|index| {
                if !first.contains(index) {
                    first.push(*index)
                }
            });
            assert!(first.is_sorted(), "seed {seed}: {agent} had {order:?}");
        }
        w.write();
        assert!(w.rows.is_empty() && w.next == u64::try_from(w.log.len()).unwrap(), "seed {seed}");
    }
}

#[test]
fn one_agent_that_fails_holds_up_nobody_else_and_costs_one_place_in_memory() {
    let mut w = World::new(7);
    w.log = (0..20_000).map(|n| agent(u64::from(n % 100 == 0))).collect();
    w.poison = Some(agent(1));
    while w.got.len() < 19_800 {
        w.step(0);
        w.write();
    }
    assert_eq!((w.outbox.held, w.outbox.lanes.len()), (1, 1));
    assert_eq!(w.rows.len(), 200);
    assert!(w.outbox.launch(w.now).is_none());
    assert_eq!(w.outbox.next_at(), Some(w.now.plus(HOUR)));
}

#[test]
fn a_clock_that_goes_back_keeps_nothing_waiting_for_hours() {
    let mut outbox = Outbox::from(0);
    outbox.take((agent(1), 0));
    let ahead = NOW.plus(9 * HOUR);
    let (of, _) = outbox.launch(ahead).unwrap();
    let waiting = Waiting { attempts: 1, first: None, next: Some(ahead.plus(SECOND)), wait: SECOND };
    outbox.failed(of, waiting, ahead);
    assert!(outbox.launch(ahead).is_none());
    assert!(outbox.launch(NOW).is_some(), "the clock was ahead");
}

#[test]
fn however_many_agents_rest_the_others_are_told() {
    let mut outbox = Outbox::from(0);
    for n in 0..5_000 {
        assert!(outbox.has_room(), "{n} rest");
        outbox.take((agent(n), n));
        let (of, _) = outbox.launch(NOW).unwrap();
        let next = Some(NOW.plus(HOUR));
        outbox.failed(of, Waiting { attempts: 3, first: Some(NOW), next, wait: HOUR }, NOW);
        outbox.write();
    }
    outbox.take((agent(9_999), 5_000));
    assert_eq!(outbox.launch(NOW).map(|(of, _)| of), Some(agent(9_999)));
    outbox.landed(agent(9_999), NOW);
    assert!(outbox.launch(NOW).is_none());
    outbox.rouse();
    assert_eq!((0..6_000).filter_map(|_| outbox.launch(NOW)).count(), 5_000);
}
