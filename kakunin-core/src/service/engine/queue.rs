//! Decisions that wait for whoever decides next: bounded, so that a caller who sends more than can be written is told so
//! instead of waiting ever longer.

use std::sync::{Mutex, PoisonError};

use super::job::Job;
use crate::service::command::decide::Need;
use crate::service::error::Error;
use crate::service::limits::{MAX_QUEUED, QUEUED_ORDERS};

/// The queue of one tenant: each has its own, so that nobody waits behind another one's flood.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    jobs: Vec<Job>,
    records: usize,
}

impl Queue {
    /// Lets a decision wait. Events fill the queue up to a bound above which there is still room for orders; what takes
    /// trust away is never refused.
    ///
    /// # Errors
    /// [`Error::QueueFull`].
    pub(super) fn push(&self, job: Job) -> Result<(), Error> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = match job.need {
            Need::Events => MAX_QUEUED,
            Need::Ordinary | Need::Key => MAX_QUEUED + QUEUED_ORDERS,
            Need::Reserved => usize::MAX,
        };
        if waiting.is_beyond(most, &job) {
            // Those whose callers went away take nobody's place.
            waiting.jobs.retain(|job| !job.work.is_gone());
            waiting.records = waiting.jobs.iter().map(|job| job.records).sum();
        }
        if waiting.is_beyond(most, &job) {
            return Err(Error::QueueFull);
        }
        waiting.records = waiting.records.saturating_add(job.records);
        waiting.jobs.push(job);
        Ok(())
    }

    /// Decisions that were waiting, up to about `limit` records; their order is kept, but that those come first, and alone,
    /// that take trust away: no other one is written into what is set aside for them.
    pub(super) fn take(&self, limit: usize) -> Vec<Job> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.next(limit);
        waiting.records = waiting.records.saturating_sub(taken.iter().map(|job| job.records).sum());
        taken.iter().for_each(Job::taken);
        taken
    }

    /// Records that wait.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).records
    }
}

impl Waiting {
    fn is_beyond(&self, most: usize, job: &Job) -> bool {
        self.records.saturating_add(job.records) > most && !self.jobs.is_empty()
    }

    fn next(&mut self, limit: usize) -> Vec<Job> {
        let mut records = 0;
        if self.jobs.iter().any(|job| job.need == Need::Reserved) {
            let take = |job: &mut Job| {
                let fits = job.need == Need::Reserved && (records == 0 || records + job.records <= limit);
                records += if fits { job.records } else { 0 };
                fits
            };
            return self.jobs.extract_if(.., take).collect();
        }
        let fits = self.jobs.iter().take_while(|job| {
            let first = records == 0;
            records += job.records;
            first || records <= limit
        });
        let count = fits.count();
        self.jobs.drain(..count).collect()
    }
}
