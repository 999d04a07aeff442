//! Who is told what was recorded, for the log of a process: beside the log, and never part of it.

use core::fmt::Debug;

use crate::log::entry::LogId;
use crate::log::record::{Body, Record};
use crate::risk::Score;
use crate::service::command::draft::Draft;

/// Is told of records that are not events, and of scores that changed.
///
/// *Atomicity, durability*: each is durable before it is told; what a crash cuts off is never told, and nothing is told again
/// when it is replayed; nor may be what a call recorded that was dropped. *Concurrency*: called in the task of whoever asked for
/// the record, before it is answered, or of whoever wrote it if that one is gone; by many at once, so it must not wait.
/// *Idempotence*: at most once for each record of this process.
pub trait RecordListener: Debug + Send + Sync {
    /// A record has its place in a log.
    fn recorded(&self, log: &LogId, index: u64, record: &Record);

    /// Scores of a tenant's log, folded again at a start, are not those of its records: they were computed by another risk
    /// model, or with another prior. Decisions made by them stand; those to come go by the folded ones.
    fn scores_differ(&self, log: &LogId, differing: &ScoresDiffer) {
        let _ = (log, differing);
    }

    /// The same of each score that was folded again, also where nothing differs: the one of the record at `index`, and the
    /// one by the model and the prior of this start.
    fn score_folded(&self, log: &LogId, index: u64, recorded: Score, folded: Score) {
        let _ = (log, index, recorded, folded);
    }
}

/// Scores that came out otherwise than they are on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoresDiffer {
    /// How many.
    pub count: u64,
    /// Index of the first such record.
    pub first: u64,
    /// The score that it has.
    pub recorded: Score,
    /// The score by the model and the prior of this start.
    pub folded: Score,
}

impl ScoresDiffer {
    /// Counts one, if these are two.
    pub(super) fn note(known: &mut Option<Self>, index: u64, (recorded, folded): (Score, Score)) {
        if recorded == folded {
            return;
        }
        known.get_or_insert(Self { count: 0, first: index, recorded, folded }).count += 1;
    }
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nobody;

impl RecordListener for Nobody {
    fn recorded(&self, _: &LogId, _: u64, _: &Record) {}
}

/// What one decision recorded, events apart.
pub(crate) type Made = Vec<(u64, Record)>;

impl Draft<'_> {
    /// What was drafted since there were so many records, events apart.
    pub(crate) fn made_since(&self, records: usize) -> Made {
        let indices = self.next_index_after(records)..;
        let new = indices.zip(self.records.iter().skip(records));
        let control = |(_, record): &(u64, &Record)| matches!(record.body, Body::Control(_));
        new.filter(control).map(|(index, record)| (index, record.clone())).collect()
    }
}
