//! What is to be sent to one endpoint, in memory: the oldest of each agent, and no more than a window of the others.
//!
//! Nothing here waits or reads a clock. Deliveries of one agent are sent in their order, one at a time; agents wait for
//! nobody else's. What rests after a failure is stored, and so is what waits behind it: of these the first is kept here,
//! so that memory does not grow with what waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::rows::{Place, Waiting};
use crate::id::AgentId;
use crate::time::UnixTime;
use crate::webhook::retry::until;

/// Deliveries that are kept in memory, and of one agent.
const WINDOW: usize = 1_024;
const OF_ONE: usize = 64;

/// A delivery that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) index: u64,
    pub(super) waiting: Waiting,
    /// Whether it has a row.
    pub(super) stored: bool,
}

/// Those of one agent, oldest first.
#[derive(Debug)]
struct Lane {
    items: VecDeque<Item>,
    /// Whether more are stored behind them.
    more: bool,
    head: Head,
}

/// What the first one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Flies,
    Ready,
    Rests(UnixTime),
}

/// What is to be sent to one endpoint.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Every record below this was looked at.
    pub(super) next: u64,
    lanes: HashMap<AgentId, Lane>,
    ready: VecDeque<AgentId>,
    resting: BTreeSet<(UnixTime, AgentId)>,
    /// Agents whose next deliveries are stored, and not here.
    hungry: Vec<AgentId>,
    held: usize,
    /// What the clock said last.
    seen: UnixTime,
    /// Rows that change with the next write, the last word on each.
    rows: BTreeMap<(AgentId, u64), Option<Waiting>>,
}

impl Outbox {
    pub(super) fn from(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Whether there is room for more.
    pub(super) fn has_room(&self) -> bool {
        self.held + self.rows.len() < WINDOW
    }

    /// How many that are stored of one agent are taken in at once.
    pub(super) const fn appetite(&self) -> usize {
        if self.held < WINDOW { OF_ONE } else { 1 }
    }

    /// Takes in what a record told.
    pub(super) fn take(&mut self, (agent, index): Place) {
        let item = Item { index, waiting: Waiting::default(), stored: false };
        let Some(lane) = self.lanes.get_mut(&agent) else {
            self.lanes.insert(agent, Lane { items: VecDeque::from([item]), more: false, head: Head::Ready });
            self.held += 1;
            return self.ready.push_back(agent);
        };
        if lane.more || matches!(lane.head, Head::Rests(_)) || lane.items.len() >= OF_ONE {
            lane.more = true;
            self.rows.insert((agent, index), Some(item.waiting));
        } else {
            lane.items.push_back(item);
            self.held += 1;
        }
    }

    /// Takes in what is stored of an agent, in its order, in place of what is here and does not fly; `more` if there is
    /// more of it. Nothing of it may be here alone.
    pub(super) fn restore(
        &mut self,
        agent: AgentId,
        stored: impl IntoIterator<Item = (u64, Waiting)>,
        more: bool,
        now: UnixTime,
    ) {
        let before = self.lanes.remove(&agent);
        self.held -= before.as_ref().map_or(0, |lane| lane.items.len());
        let head = before.as_ref().map_or(Head::Ready, |lane| lane.head);
        if let Head::Rests(at) = head {
            self.resting.remove(&(at, agent));
        }
        self.ready.retain(|ready| *ready != agent);
        let flying = before.filter(|_| head == Head::Flies).and_then(|lane| lane.items.front().copied());
        let item = |(index, waiting)| Item { index, waiting, stored: true };
        let stored = stored.into_iter().map(item).filter(|item| flying.is_none_or(|f| f.index != item.index));
        let items: VecDeque<_> = flying.into_iter().chain(stored).collect();
        self.held += items.len();
        let head = if flying.is_some() { Head::Flies } else { Head::Ready };
        self.lanes.insert(agent, Lane { items, more, head });
        if flying.is_none() {
            self.settle(agent, now);
        }
    }

    /// Says what the first of an agent does next.
    fn settle(&mut self, agent: AgentId, now: UnixTime) {
        let Some(lane) = self.lanes.get_mut(&agent) else { return };
        match lane.items.front() {
            Some(first) => {
                let at = first.waiting.next.filter(|at| until(*at, first.waiting.wait, now) > 0);
                lane.head = at.map_or(Head::Ready, Head::Rests);
                match at {
                    Some(at) => _ = self.resting.insert((at, agent)),
                    None => self.ready.push_back(agent),
                }
            }
            None if lane.more => {
                lane.head = Head::Ready;
                self.hungry.push(agent);
            }
            None => _ = self.lanes.remove(&agent),
        }
    }

    /// Agents whose next deliveries are to be read.
    pub(super) fn hungry(&mut self) -> Vec<AgentId> {
        std::mem::take(&mut self.hungry)
    }

    /// What waits of these is read as soon as it can be.
    pub(super) fn starve(&mut self, agents: Vec<AgentId>) {
        self.hungry.extend(agents);
    }

    /// The next delivery whose time has come; it flies until [`Outbox::landed`].
    pub(super) fn launch(&mut self, now: UnixTime) -> Option<(AgentId, Item)> {
        self.wake(now);
        while let Some(agent) = self.ready.pop_front() {
            if let Some(lane) = self.lanes.get_mut(&agent)
                && let Some(first) = lane.items.front()
                && lane.head == Head::Ready
            {
                lane.head = Head::Flies;
                return Some((agent, *first));
            }
        }
        None
    }

    /// Makes those ready whose time has come. If the clock went back, also those whose time was by a clock that was ahead.
    fn wake(&mut self, now: UnixTime) {
        if now < self.seen {
            let all = std::mem::take(&mut self.resting);
            all.into_iter().for_each(|(_, agent)| self.settle(agent, now));
        }
        self.seen = now;
        while let Some((at, agent)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.resting.remove(&(at, agent));
            self.lanes.entry(agent).and_modify(|lane| lane.head = Head::Ready);
            self.ready.push_back(agent);
        }
    }

    /// It is delivered, or given up.
    pub(super) fn landed(&mut self, agent: AgentId, now: UnixTime) {
        let Some(lane) = self.lanes.get_mut(&agent) else { return };
        if let Some(first) = lane.items.pop_front() {
            self.held -= 1;
            if first.stored {
                self.rows.insert((agent, first.index), None);
            } else {
                // Perhaps it was about to be.
                self.rows.remove(&(agent, first.index));
            }
        }
        self.settle(agent, now);
    }

    /// It failed, and waits; those behind it are stored.
    pub(super) fn failed(&mut self, agent: AgentId, waiting: Waiting, now: UnixTime) {
        let Some(lane) = self.lanes.get_mut(&agent) else { return };
        let behind = lane.items.split_off(lane.items.len().min(1));
        self.held -= behind.len();
        lane.more |= !behind.is_empty();
        for item in behind.into_iter().filter(|item| !item.stored) {
            self.rows.insert((agent, item.index), Some(item.waiting));
        }
        if let Some(first) = lane.items.front_mut() {
            (first.waiting, first.stored) = (waiting, true);
            self.rows.insert((agent, first.index), Some(waiting));
        }
        self.settle(agent, now);
    }

    /// Rows to be written now: what is here and not delivered yet has one from then on, so that everything below
    /// [`Outbox::next`] is done or stored.
    pub(super) fn write(&mut self) -> Vec<(Place, Option<Waiting>)> {
        for (agent, lane) in &mut self.lanes {
            for item in lane.items.iter_mut().filter(|item| !item.stored) {
                item.stored = true;
                self.rows.insert((*agent, item.index), Some(item.waiting));
            }
        }
        std::mem::take(&mut self.rows).into_iter().collect()
    }

    /// Whether something is to be written.
    pub(super) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }

    /// When the next is, of those that rest.
    pub(super) fn next_at(&self) -> Option<UnixTime> {
        self.resting.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
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
                let waiting =
                    Waiting { attempts, first: Some(self.now), next: Some(self.now.plus(wait)), wait };
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
}
