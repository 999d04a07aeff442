//! Parts of a log, and where they begin.

use crate::log::entry::Entry;
use crate::log::record::Record;

/// A record with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Index in the tenant's log.
    pub index: u64,
    /// The entry as it is stored.
    pub entry: Entry,
    /// What it says.
    pub record: Record,
    /// Of an event whose payload was erased: index of the record that says so.
    pub erased: Option<u64>,
}

/// Where a page begins, and which way it goes. Cursors are places between records: `7` is before the one with index 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the end of the log, newest first.
    End,
    /// Before this place, newest first.
    Before(u64),
    /// After this place, oldest first: with the record of this index.
    After(u64),
}

/// Part of a log, in the order that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Records.
    pub items: Vec<Recorded>,
    /// Indices between them, in the same order, whose records are gone or not what was written: nobody can say whether
    /// they were wanted.
    pub damaged: Vec<u64>,
    /// Where the next page begins; `None` where all was looked at.
    pub next: Option<u64>,
    /// Up to where it was looked: oldest first, what is appended later comes after this place.
    pub reached: u64,
}
