//! Erasing what an agent's events hold beside their leaves.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::Note;
use crate::id::AgentId;
use crate::log::record::Control;
use crate::month::Month;
use crate::service::error::Error;
use crate::service::state::erasures::Erasure;

/// Payloads of an agent's events of these months. What it answers is on record, and keys are destroyed after that.
#[derive(Clone)]
pub(crate) struct Erase {
    pub(crate) agent: AgentId,
    pub(crate) from: Month,
    pub(crate) to: Month,
    pub(crate) reason: Note,
}

impl Command for Erase {
    const NEED: Need = Need::Ordinary;
    type Answer = Erasure;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Erasure, Error> {
        let Self { agent, from, to, reason } = self;
        // A later month has nothing yet, and who names one believes that what comes is erased too.
        if from > to || to > Month::of(draft.time) {
            return Err(Error::ErasureMonths);
        }
        let entry = known(draft, &agent)?;
        let nothing_since = |one: &Erasure| one.at > to || entry.reach <= one.record + 1;
        if let Some(before) = entry.row.erased.whole(from, to).filter(nothing_since) {
            return Ok(before);
        }
        if entry.row.erased.is_full() {
            return Err(Error::TooManyErasures);
        }
        let record = draft.next_index();
        draft.push(agent, None, Control::PayloadErased { from, to, reason })?;
        Ok(Erasure { record, from, to, at: Month::of(draft.time) })
    }
}
