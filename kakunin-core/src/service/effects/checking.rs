//! How far looking at what is stored has come.

use std::collections::VecDeque;

use crate::log::checkpoint::Checkpoint;
use crate::log::entry::LogId;
use crate::log::merkle::Frontier;
use crate::time::UnixTime;

/// How far the looking has come.
#[derive(Debug, Default)]
pub(crate) struct Checking {
    pub(super) writes: u64,
    pub(super) structure: usize,
    pub(super) logs: VecDeque<LogId>,
    pub(super) at: Option<Reading>,
    pub(super) ended: Option<UnixTime>,
}

/// A log that is being read, up to the head that was signed when it was begun.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) log: LogId,
    pub(super) frontier: Frontier,
    pub(super) signed: Checkpoint,
}
