//! What came of loud misuse and hard days, as a table and as JSON.

use core::fmt;

use serde::Serialize;
use serde::ser::Serializer;

use super::kinds::Goal;
use crate::evaluate::share::{Share, median, ninety_fifth};

/// How far it was when a threshold was reached: acts that were added, and minutes since the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) events: u64,
    pub(super) minutes: u64,
}

/// What a model makes of loud misuse and of hard days.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct LoudReport {
    /// The risk model.
    pub model: String,
    /// What the agents may do.
    pub scope: &'static str,
    /// What everything was drawn from.
    pub seed: u64,
    /// Honest agents with a history.
    pub agents: u64,
    /// Those beside them that were revoked by their own acts before.
    pub left_out: u64,
    /// What came of each kind.
    pub kinds: Vec<KindReport>,
}

/// What came of one kind.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct KindReport {
    /// Which.
    pub kind: &'static str,
    /// What is to be reached.
    pub goal: Goal,
    /// Whether it was; nothing is to be said of a kind that no agent can do.
    pub met: Option<bool>,
    /// The share that the goal is about.
    pub share: Share,
    /// At 0.85.
    pub revoked: Reached,
    /// At 0.75.
    pub warned: Reached,
}

/// Who reached a threshold, and when.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Reached {
    /// How many of how many.
    pub share: Share,
    /// Acts that were added until then: the middle one.
    pub events_median: Option<f64>,
    /// And what 95 % do not exceed.
    pub events_95th: Option<u64>,
    /// Minutes from the first of them: the middle one.
    pub minutes_median: Option<f64>,
    /// And what 95 % do not exceed.
    pub minutes_95th: Option<u64>,
}

impl Reached {
    pub(super) fn of(moments: impl Iterator<Item = Moment>, of: u64) -> Self {
        let (events, minutes): (Vec<u64>, Vec<u64>) =
            moments.map(|moment| (moment.events, moment.minutes)).unzip();
        Self {
            share: Share { part: u64::try_from(events.len()).unwrap_or(u64::MAX), of },
            events_median: median(&events),
            events_95th: ninety_fifth(&events),
            minutes_median: median(&minutes),
            minutes_95th: ninety_fifth(&minutes),
        }
    }
}

impl Goal {
    /// How many of these are revoked as the goal has it.
    pub(super) fn share(self, revoked: impl Iterator<Item = Option<Moment>>) -> Share {
        let counts = |moment: Moment| match self {
            Self::WithinEvents(events, _) => moment.events <= events,
            Self::WithinMinutes(minutes, _) => moment.minutes <= minutes,
            Self::Revoked(_) | Self::Nobody | Self::Nothing => true,
        };
        revoked.map(|moment| moment.is_some_and(counts)).collect()
    }

    pub(super) fn is_met(self, share: Share) -> Option<bool> {
        let wanted = match self {
            Self::WithinEvents(_, wanted) | Self::WithinMinutes(_, wanted) | Self::Revoked(wanted) => wanted,
            Self::Nobody => return (share.of > 0).then_some(share.part == 0),
            Self::Nothing => return None,
        };
        (share.of > 0).then_some(share.part * 100 >= share.of * u64::from(wanted))
    }
}

impl Serialize for Goal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl LoudReport {
    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and texts only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for LoudReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, scope, seed, agents, left_out, kinds } = self;
        writeln!(f, "risk model {model}, scope {scope}, seed {seed}: {agents} honest agents with a history")?;
        if *left_out > 0 {
            writeln!(f, "left out: {left_out} more that were revoked by their own acts before")?;
        }
        writeln!(f, "events and minutes until then: median / 95th percentile")?;
        let [revoked, events, minutes] = ["revoked at 0.85", "events", "minutes"];
        let [warned, goal] = ["warned at 0.75", "goal"];
        write!(f, "{:<24}{revoked:<16}{events:<14}{minutes:<14}", "kind")?;
        write!(f, "{warned:<16}{events:<14}{minutes:<14}{goal:<22}reached")?;
        for kind in kinds {
            write!(f, "\n{:<24}", kind.kind)?;
            write_reached(f, &kind.revoked)?;
            write_reached(f, &kind.warned)?;
            let Share { part, of } = kind.share;
            let met = match kind.met {
                Some(true) => format!("yes, {part} of {of}"),
                Some(false) => format!("no, {part} of {of}"),
                None => "-".to_owned(),
            };
            write!(f, "{:<22}{met}", kind.goal)?;
        }
        Ok(())
    }
}

fn write_reached(f: &mut fmt::Formatter<'_>, reached: &Reached) -> fmt::Result {
    let Share { part, of } = reached.share;
    let pair = |median: Option<f64>, end: Option<u64>| match (median, end) {
        (Some(median), Some(end)) => format!("{median} / {end}"),
        _ => "-".to_owned(),
    };
    let events = pair(reached.events_median, reached.events_95th);
    let minutes = pair(reached.minutes_median, reached.minutes_95th);
    write!(f, "{:<16}{events:<14}{minutes:<14}", format!("{part} of {of}"))
}
