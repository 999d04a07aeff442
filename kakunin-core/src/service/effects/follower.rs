//! What follows the logs: one kind of it, and one way to have its turns.

use std::sync::Arc;

use async_trait::async_trait;

use super::running::Running;
use super::unit::{Memory, Pace, Part, Turn, Unit};
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::time::UnixTime;

/// Something that follows logs, and brings what is elsewhere level with them: keys, CRLs, the feed, the inbox.
///
/// *Atomicity*: a turn does what is left in parts; what is done stays done. *Durability*: what is left lies in the store,
/// or follows from the log: a turn that is dropped, or a start, loses nothing. *Concurrency*: one turn at a time for each
/// log; turns of other logs and followers go on meanwhile, so that one that hangs holds up nobody else. *Idempotence*: a
/// turn that is had again finds nothing to do.
#[async_trait]
pub(super) trait Follower: Send + Sync {
    /// Its name in status and metrics, which stays.
    fn name(&self) -> &'static str;

    /// The logs that it follows now, each in turns of its own; nothing if that is not known at the moment.
    fn logs(&self, running: &Running) -> Option<Vec<LogId>>;

    /// The parts of such a log that it follows apart from each other; nothing if that is not known at the moment.
    fn parts(&self, running: &Running, log: &LogId) -> Option<Vec<Part>> {
        let _ = (running, log);
        Some(vec![None])
    }

    /// Turns that are under way at once, at the most: where all of them hang, the other followers have theirs.
    fn at_once(&self) -> usize {
        32
    }

    /// Whether one of several processes over a store is enough: what it does is there for all of them.
    fn on_duty(&self) -> bool {
        true
    }

    /// How often it is its turn.
    fn pace(&self) -> Pace;

    /// Does what follows from a log since the turn before, and says in `turn` what is left.
    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error>;
}

impl Running {
    /// Whether this process does what this follower does.
    pub(super) fn is_due_here(&self, follower: &dyn Follower) -> bool {
        !follower.on_duty() || self.duty.is_on()
    }

    /// One turn of this follower at this log, for whoever holds its memory.
    pub(super) async fn turn(
        &self,
        follower: &dyn Follower,
        unit: &Unit,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        if !self.is_due_here(follower) {
            return Ok(());
        }
        if follower.on_duty() {
            self.freshen(memory);
        }
        let mut turn = unit.begin(memory, follower.pace(), self.now());
        let done = follower.step(self, &unit.log, &mut turn).await;
        turn.end(done, self.now(), &*self.parts.entropy)
    }

    /// Forgets what is remembered of an earlier time on duty: another process went on meanwhile.
    pub(super) fn freshen(&self, memory: &mut Memory) {
        if memory.epoch != self.duty.epoch() {
            *memory = Memory { epoch: self.duty.epoch(), ..Memory::default() };
        }
    }

    /// This follower, at each log that it follows now.
    pub(super) fn units_of(&self, follower: &dyn Follower) -> Vec<Arc<Unit>> {
        let name = follower.name();
        let places = follower.logs(self).and_then(|logs| {
            let of = |log: LogId| {
                let parts = follower.parts(self, &log)?;
                Some(parts.into_iter().map(|part| (log.clone(), part)).collect::<Vec<_>>())
            };
            logs.into_iter().map(of).collect::<Option<Vec<_>>>()
        });
        let Some(places) = places.map(|places| places.concat()) else { return self.units.named(name) };
        self.units.retain(name, &places);
        places.iter().map(|(log, part)| self.units.of_part(name, (log, *part), &self.commits)).collect()
    }

    /// Waits for its turn at each log that it follows, and has it, for somebody who asked. Goes on after one that fails, and
    /// gives the first error.
    pub(super) async fn turns_of(&self, follower: &dyn Follower) -> Result<(), Error> {
        let mut done = Ok(());
        for unit in self.units_of(follower) {
            let mut memory = unit.turn.lock().await;
            memory.looked = UnixTime::default();
            done = done.and(self.turn(follower, &unit, &mut memory).await);
        }
        done
    }
}
