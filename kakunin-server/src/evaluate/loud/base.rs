//! An honest agent at the moment at which something begins.

use std::collections::BTreeSet;

use kakunin_core::risk::History;
use kakunin_core::time::{DAY, UnixTime};

use super::act::Act;
use super::chance::Chance;
use crate::evaluate::agents::Agent;
use crate::evaluate::call::Call;
use crate::evaluate::engine::{Engine, REVOKE};
use crate::replay::BASE;

/// Days on which the agent did something before anything begins.
pub(super) const DAYS_BEFORE: usize = 5;

/// An honest agent, what it did so far, and what it is going to do.
#[derive(Debug)]
pub(super) struct Base<'a> {
    pub(super) agent: &'a Agent,
    /// The day, at midnight; the agent does something on it.
    pub(super) day: UnixTime,
    pub(super) past: &'a [Call],
    pub(super) coming: &'a [Call],
    pub(super) history: History,
    /// Whether it would be revoked by what it did itself already.
    pub(super) is_lost: bool,
}

impl<'a> Base<'a> {
    /// An agent at the beginning of one of its days, another one in each round; `None` if it has not done enough.
    pub(super) fn of(agent: &'a Agent, engine: &Engine, (seed, round): (u64, u64)) -> Option<Self> {
        let days: Vec<u64> = days(agent).into_iter().collect();
        let day = *Chance::of(seed, &agent.name, &format!("day {round}")).one_of(days.get(DAYS_BEFORE..)?)?;
        let day = BASE.plus(day * DAY);
        let (past, coming) = agent.calls.split_at(agent.calls.partition_point(|call| call.at < day));
        let (mut history, mut is_lost) = (History::default(), false);
        for call in past {
            is_lost |= engine.take(&mut history, call) >= REVOKE;
        }
        Some(Self { agent, day, past, coming, history, is_lost })
    }

    /// Its own work from the day on, up to `end`.
    pub(super) fn work(&self, end: UnixTime) -> Vec<Act> {
        let until = self.coming.partition_point(|call| call.at < end);
        self.coming.iter().take(until).cloned().map(Act::own).collect()
    }

    /// Its own calls of the day.
    pub(super) fn today(&self) -> &'a [Call] {
        let until = self.coming.partition_point(|call| call.at < self.day.plus(DAY));
        self.coming.get(..until).unwrap_or_default()
    }

    /// Past calls that were done.
    pub(super) fn done(&self) -> Vec<&'a Call> {
        self.past.iter().filter(|call| call.is_done()).collect()
    }
}

/// The days on which an agent did something.
fn days(agent: &Agent) -> BTreeSet<u64> {
    agent.calls.iter().map(|call| call.at.since(BASE) / DAY).collect()
}

/// Whether it has as many days of history as are asked for, and one after them.
pub(super) fn is_settled(agent: &Agent) -> bool {
    agent.is_honest() && days(agent).len() > DAYS_BEFORE
}
