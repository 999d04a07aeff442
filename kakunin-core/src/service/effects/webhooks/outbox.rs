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
        self.busy() + self.rows.len() < WINDOW
    }

    /// What is here and does not rest: an agent that rests after a failure has one place, and takes up nobody else's.
    fn busy(&self) -> usize {
        self.held.saturating_sub(self.resting.len())
    }

    /// How many that are stored of one agent are taken in at once.
    pub(super) fn appetite(&self) -> usize {
        if self.busy() < WINDOW { OF_ONE } else { 1 }
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
        if before.is_some() {
            self.ready.retain(|ready| *ready != agent);
        }
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

    /// Makes all ready that rest.
    pub(super) fn rouse(&mut self) {
        for (_, agent) in std::mem::take(&mut self.resting) {
            self.lanes.entry(agent).and_modify(|lane| lane.head = Head::Ready);
            self.ready.push_back(agent);
        }
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
#[path = "outbox_tests.rs"]
mod tests;
