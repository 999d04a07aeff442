//! Decisions of callers, as they wait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_channel::oneshot;

use super::telling::Made;
use crate::event::ShortName;
use crate::service::command::decide::{Command, Need};
use crate::service::command::draft::Draft;
use crate::service::error::Error;

/// One caller's decision.
pub(crate) struct Job {
    pub(super) records: usize,
    pub(super) need: Need,
    /// Set once somebody has it in hand.
    pub(super) taken: Arc<AtomicBool>,
    /// Why it is refused, once that is decided. What it was decided by may not be durable yet, so its caller is told with
    /// all others.
    pub(super) refused: Option<Error>,
    pub(super) work: Box<dyn Work>,
}

impl Job {
    pub(super) fn taken(&self) {
        self.taken.store(true, Ordering::Release);
    }
}

pub(crate) trait Work: Send {
    /// Whether nobody waits for it any more.
    fn is_gone(&self) -> bool;
    /// Takes the decision into the draft; once more into another one, if the store refused the first.
    fn decide(&mut self, draft: &mut Draft<'_>) -> Result<(), Error>;
    /// Tells the caller how it ended, with what was recorded. Gives that back if the caller is gone.
    fn answer(self: Box<Self>, outcome: Result<(), Error>) -> Made;
}

/// What a caller is answered.
pub(crate) type Answer<T> = Result<(T, Made), Error>;

/// A command, and whoever waits for its answer.
pub(crate) struct Decision<C: Command> {
    pub(crate) by: Option<ShortName>,
    pub(crate) command: Option<C>,
    pub(crate) value: Option<(C::Answer, Made)>,
    pub(crate) caller: oneshot::Sender<Answer<C::Answer>>,
}

impl<C: Command> Work for Decision<C> {
    fn is_gone(&self) -> bool {
        self.caller.is_canceled()
    }

    fn decide(&mut self, draft: &mut Draft<'_>) -> Result<(), Error> {
        // If its caller is gone nothing of it was written, and nothing will be.
        let command = if draft.again { self.command.clone() } else { self.command.take() };
        self.value = None;
        if let Some(command) = command.filter(|_| !self.caller.is_canceled()) {
            draft.asked_by(self.by.clone());
            let before = draft.records.len();
            let value = command.decide(draft)?;
            self.value = Some((value, draft.made_since(before)));
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>) -> Made {
        let result = match (outcome, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Err(error), _) => Err(error),
            (Ok(()), None) => return Made::new(),
        };
        // The receiver is gone only if its caller is.
        match self.caller.send(result) {
            Err(Ok((_, made))) => made,
            _ => Made::new(),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.records)
    }
}
