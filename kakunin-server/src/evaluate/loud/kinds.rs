//! The kinds of loud misuse and of hard days, and what is to be reached on each.

use core::fmt;

use super::act::Act;
use super::base::Base;
use super::chance::Chance;
use super::hard::{self, Others};
use super::misuse::{self, Pace};

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// So many hundredths are revoked within so many events.
    WithinEvents(u64, u8),
    /// So many hundredths are revoked within so many minutes.
    WithinMinutes(u64, u8),
    /// So many hundredths are revoked.
    Revoked(u8),
    /// Nobody is revoked.
    Nobody,
    /// Nothing: it is no more than a busy day.
    Nothing,
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::WithinEvents(events, share) => format!(">= {share} % in {events} events"),
            Self::WithinMinutes(minutes, share) => format!(">= {share} % in {minutes} min"),
            Self::Revoked(share) => format!(">= {share} %"),
            Self::Nobody => "nobody".to_owned(),
            Self::Nothing => "none".to_owned(),
        };
        f.pad(&text)
    }
}

/// How acts are made.
#[derive(Clone, Copy)]
pub(super) enum Make {
    Misuse(fn(&Base<'_>, Pace, &mut Chance) -> Option<Vec<Act>>, Pace),
    Hard(fn(&Base<'_>, Others<'_>, &mut Chance) -> Option<Vec<Act>>),
}

/// One kind.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) make: Make,
    pub(super) goal: Goal,
}

const fn misuse(
    name: &'static str,
    make: fn(&Base<'_>, Pace, &mut Chance) -> Option<Vec<Act>>,
    pace: Pace,
    goal: Goal,
) -> Kind {
    Kind { name, make: Make::Misuse(make, pace), goal }
}

const fn hard(
    name: &'static str,
    make: fn(&Base<'_>, Others<'_>, &mut Chance) -> Option<Vec<Act>>,
    goal: Goal,
) -> Kind {
    Kind { name, make: Make::Hard(make), goal }
}

const FAST: Goal = Goal::WithinEvents(20, 99);
const SLOW: Goal = Goal::Revoked(95);

pub(super) const KINDS: [Kind; 17] = [
    misuse("stuffing", misuse::stuffing, Pace::Fast, FAST),
    misuse("stuffing, slow", misuse::stuffing, Pace::Slow, SLOW),
    misuse("probing", misuse::probing, Pace::Fast, FAST),
    misuse("probing, slow", misuse::probing, Pace::Slow, SLOW),
    misuse("payments", misuse::payments, Pace::Fast, FAST),
    misuse("payments, slow", misuse::payments, Pace::Slow, SLOW),
    misuse("exfiltration", misuse::exfiltration, Pace::Fast, FAST),
    misuse("exfiltration, slow", misuse::exfiltration, Pace::Slow, SLOW),
    misuse("frequency", misuse::frequency, Pace::Fast, Goal::WithinMinutes(60, 95)),
    // Twice the usual rate: a busy day has five times the usual work.
    misuse("frequency, slow", misuse::frequency, Pace::Slow, Goal::Nothing),
    hard("plain day", hard::plain, Goal::Nobody),
    hard("busy day", hard::busy, Goal::Nobody),
    hard("job change", hard::job_change, Goal::Nobody),
    hard("month end", hard::month_end, Goal::Nobody),
    hard("outage", hard::outage, Goal::Nobody),
    hard("retry storm", hard::storm, Goal::Nobody),
    hard("failed authentications", hard::failures, Goal::Nobody),
];
