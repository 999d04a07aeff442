//! One follower at one log: how far it is, when it is its turn again, and what became of the last one.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::status::{FollowerError, FollowerState, FollowerStatus, is_full};
use crate::id::{Entropy, WebhookId};
use crate::log::entry::LogId;
use crate::service::engine::backoff::{Backoff, until};
use crate::service::engine::commits::Commits;
use crate::service::error::Error;
use crate::time::{MINUTE, SECOND, UnixTime};

/// How long appends are gathered at the most before it is looked whose turn it is, in milliseconds: the first after a
/// quiet time is looked at at once.
pub(super) const GATHER: u64 = 20;

/// What of a log somebody follows in turns of its own: an endpoint, or `None`, the whole.
pub(super) type Part = Option<WebhookId>;

/// How often it is a follower's turn, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two turns, however much the log grows.
    pub(super) rest: u64,
    /// Between two turns although it does not grow; at most a minute.
    pub(super) again: u64,
    /// The longest wait after failures.
    pub(super) longest: u64,
}

/// What it remembers from turn to turn. Whoever holds it has the turn.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Rows that failed: they rest until the next attempt, and others do not.
    pub(super) resting: HashSet<Vec<u8>>,
    /// Which time on duty it is of.
    pub(super) epoch: u64,
    /// When all was looked at.
    pub(super) looked: UnixTime,
    /// What a follower keeps besides; lost if a turn fails or is dropped.
    pub(super) kept: Option<Box<dyn Any + Send>>,
}

/// One turn. Before it ends the follower says what is left, and when it is its turn again if not as its pace says.
#[derive(Debug)]
pub(super) struct Turn<'u> {
    unit: &'u Unit,
    pub(super) memory: &'u mut Memory,
    pub(super) now: UnixTime,
    /// Size of the log before it began.
    size: u64,
    /// Whether it is time for what failed before.
    pub(super) due: bool,
    /// Attempts in vain before this one.
    pub(super) failures: u32,
    pub(super) left: usize,
    /// Whether there is something for another follower.
    pub(super) others: bool,
    /// Whether nothing was tried.
    pub(super) idle: bool,
    /// Why something of it was not done, while the rest was.
    pub(super) failed: Option<Error>,
    pub(super) pace: Pace,
}

/// One follower at one log, or a part of it.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) log: LogId,
    part: Part,
    pub(super) turn: Arc<async_lock::Mutex<Memory>>,
    size: Arc<AtomicU64>,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Size of the log up to which it was looked at.
    level: Option<u64>,
    left: usize,
    /// Neither before, whatever is appended.
    rests: UnixTime,
    /// Nor later, whatever is not.
    again: UnixTime,
    backoff: Backoff,
    failing: Option<(UnixTime, FollowerError)>,
    /// Whether what is appended since waits for the next attempt, too.
    stopped: bool,
    began: Option<UnixTime>,
    level_at: Option<UnixTime>,
}

impl Unit {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds until it is its turn.
    pub(super) fn wait(&self, now: UnixTime) -> u64 {
        let progress = self.progress();
        if progress.began.is_some() {
            return MINUTE;
        }
        let retry = progress.backoff.wait(now);
        if progress.stopped {
            return retry.max(until(progress.rests, now));
        }
        let grown = progress.level.is_none_or(|level| level < self.size.load(Ordering::Acquire));
        let next = if grown { until(progress.rests, now) } else { until(progress.again, now) };
        if progress.failing.is_some() { next.min(retry) } else { next }
    }

    /// Begins a turn, for whoever holds its memory.
    pub(super) fn begin<'u>(&'u self, memory: &'u mut Memory, pace: Pace, now: UnixTime) -> Turn<'u> {
        let mut progress = self.progress();
        progress.began = Some(now);
        let (size, failures) = (self.size.load(Ordering::Acquire), progress.backoff.failures());
        let (due, left) = (progress.backoff.is_due(now), progress.left);
        Turn {
            unit: self,
            memory,
            now,
            size,
            due,
            failures,
            left,
            others: false,
            idle: false,
            failed: None,
            pace,
        }
    }

    /// What is left, as far as that is known without a turn.
    pub(super) fn found(&self, left: usize) {
        self.progress().left = left;
    }

    pub(super) fn left(&self) -> usize {
        self.progress().left
    }

    /// Makes it its turn now, unless it is at it.
    pub(super) fn hurry(&self) {
        let mut progress = self.progress();
        (progress.level, progress.rests) = (None, UnixTime::default());
    }

    /// Code of the last error, if the last attempt failed.
    pub(super) fn failing(&self) -> Option<&'static str> {
        self.progress().failing.as_ref().map(|(_, error)| error.code)
    }
}

impl Turn<'_> {
    /// Whose turn it is.
    pub(super) const fn part(&self) -> Part {
        self.unit.part
    }

    /// Shows that it goes on, and up to which size of the log it has come.
    pub(super) fn goes_on(&mut self, now: UnixTime, level: u64) {
        self.size = level;
        let mut progress = self.unit.progress();
        (progress.began, progress.level) = (Some(now), Some(level));
    }

    /// Shows what is left before it is done, which may take long.
    pub(super) fn found(&mut self, left: usize) {
        self.left = left;
        self.unit.found(left);
    }

    /// Ends it; `now` and `entropy` say when the next one is.
    pub(super) fn end(
        mut self,
        done: Result<(), Error>,
        now: UnixTime,
        entropy: &dyn Entropy,
    ) -> Result<(), Error> {
        let failed = self.failed.take();
        let failure = done.as_ref().err().or(failed.as_ref());
        let mut progress = self.unit.progress();
        if failure.is_some_and(is_full) {
            // Shown by itself, and nobody's fault: as soon as there is room it goes on.
            progress.left = self.left.max(1);
            (progress.failing, progress.stopped) = (None, false);
            progress.backoff.succeeded();
            (progress.rests, progress.again) = (now.plus(SECOND), now.plus(SECOND));
            drop(progress);
            return done;
        }
        let stopped = done.is_err() || self.idle && progress.stopped;
        progress.left = self.left;
        progress.stopped = stopped;
        progress.rests = now.plus(self.pace.rest);
        progress.again = now.plus(self.pace.again);
        match failure {
            Some(error) => {
                let since = progress.failing.take().map_or(now, |(since, _)| since);
                progress.failing = Some((since, error.into()));
                if self.due {
                    progress.backoff.failed(now, self.pace.longest, entropy);
                }
            }
            None if !self.idle && (self.due || self.left == 0) => {
                progress.failing = None;
                progress.backoff.succeeded();
            }
            // What failed before rests, if something did.
            None => {}
        }
        if !stopped {
            progress.level = Some(self.size);
        }
        if progress.failing.is_none() && self.left == 0 {
            progress.level_at = Some(self.now);
        }
        drop(progress);
        done
    }
}

// Also if whoever had it went away.
impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.unit.progress().began = None;
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Units(Mutex<BTreeMap<Name, Arc<Unit>>>);

/// The name of a follower, a log, and which part of it.
type Name = (&'static str, LogId, Part);

impl Units {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Unit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one of this name at this log.
    pub(super) fn of(&self, name: &'static str, log: &LogId, commits: &Commits) -> Arc<Unit> {
        self.of_part(name, (log, None), commits)
    }

    /// The one of this name at a part of a log.
    pub(super) fn of_part(
        &self,
        name: &'static str,
        (log, part): (&LogId, Part),
        commits: &Commits,
    ) -> Arc<Unit> {
        let unit = || {
            let (turn, progress) = (Arc::default(), Mutex::default());
            Arc::new(Unit { log: log.clone(), part, turn, size: commits.of(log), progress })
        };
        self.all().entry((name, log.clone(), part)).or_insert_with(unit).clone()
    }

    /// Those of this name.
    pub(super) fn named(&self, name: &'static str) -> Vec<Arc<Unit>> {
        let all = self.all();
        let own = all.range((name, LogId::System, None)..).take_while(|((of, ..), _)| *of == name);
        own.map(|(_, unit)| unit.clone()).collect()
    }

    /// Forgets those at logs of issuing CAs, and at parts of logs, that are not followed any more.
    pub(super) fn retain(&self, name: &'static str, places: &[(LogId, Part)]) {
        let known: HashSet<_> = places.iter().map(|(log, part)| (log, part)).collect();
        let may_go = |log: &LogId, part: &Part| part.is_some() || matches!(log, LogId::Revocations(_));
        let stays = |log: &LogId, part: &Part| !may_go(log, part) || known.contains(&(log, part));
        self.all().retain(|(of, log, part), _| *of != name || stays(log, part));
    }

    /// How the follower of this name stands.
    pub(super) fn status(&self, name: &'static str, now: UnixTime) -> FollowerStatus {
        let units = self.named(name);
        let state = FollowerState::Level;
        let (left, behind, failing) = (0, 0, 0);
        let (since, next_attempt, error) = (None, None, None);
        let all = FollowerStatus {
            logs: units.len(),
            level_at: None,
            name,
            state,
            left,
            behind,
            failing,
            since,
            next_attempt,
            error,
        };
        let mut all = units.iter().fold(all, |all, unit| unit.add_to(all, now));
        let levels = units.iter().map(|unit| unit.progress().level_at);
        all.level_at = levels.min().flatten();
        if all.since.is_some() {
            all.state = FollowerState::Failing;
        } else if all.left > 0 || (all.logs > 0 && all.level_at.is_none()) {
            all.state = FollowerState::Behind;
        }
        all
    }
}

impl Unit {
    fn add_to(&self, mut all: FollowerStatus, now: UnixTime) -> FollowerStatus {
        let progress = self.progress();
        let size = self.size.load(Ordering::Acquire);
        all.left += progress.left;
        all.behind += progress.level.map_or(0, |level| size.saturating_sub(level));
        let hung = progress.began.filter(|began| now.since(*began) > MINUTE);
        let failing = progress.failing.as_ref();
        let earliest = |one: Option<UnixTime>, other: Option<UnixTime>| one.into_iter().chain(other).min();
        all.since = earliest(all.since, earliest(hung, failing.map(|(since, _)| *since)));
        if let Some((_, error)) = failing {
            all.failing += 1;
            all.next_attempt = earliest(all.next_attempt, Some(progress.backoff.next()));
            all.error = Some(error.clone());
        }
        all
    }
}
