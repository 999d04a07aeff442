//! One call of a trace, and what bounds it.

use std::path::Path;

use kakunin_core::event::{Amount, Name, Outcome};
use kakunin_core::scope::Action;
use kakunin_core::time::UnixTime;

use crate::replay::ReplayError;
use crate::replay::trace::bad;

/// The largest whole number that every reader of JSON keeps to the digit.
const MAX_WHOLE: u64 = (1 << 53) - 1;

/// What an agent may do: which list of scopes its certificate has, or a grant for each session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// What its trade needs.
    #[default]
    Suite,
    /// What its own tasks need.
    Job,
    /// What the task of each session needs, and nothing else in that session.
    Task,
    /// What its trade needs, and every read of that.
    Broad,
}

impl Scope {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suite => "suite",
            Self::Job => "job",
            Self::Task => "task",
            Self::Broad => "broad",
        }
    }
}

/// One call, as far as the engine may know of it, and whether it lies outside what the agent may do.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: UnixTime,
    pub(super) seq: u64,
    pub(super) action: Action,
    pub(super) outcome: Outcome,
    pub(super) outside: bool,
    pub(super) auth_failure: bool,
    pub(super) session: Option<Name>,
    pub(super) target: Option<Name>,
    pub(super) counterparty: Option<Name>,
    pub(super) amount: Option<Amount>,
}

/// Refuses a number that other readers would round.
pub(super) fn whole(path: &Path, number: u64, name: &str, value: u64) -> Result<(), ReplayError> {
    match value <= MAX_WHOLE {
        true => Ok(()),
        false => {
            Err(bad(path, number, format!("`{name}` is {value}: write a whole number up to {MAX_WHOLE}")))
        }
    }
}
