//! Decisions of callers, as they wait.

use std::fmt;

use futures_channel::oneshot;

use crate::event::ShortName;
use crate::service::command::draft::Draft;
use crate::service::error::Error;

/// One caller's decision.
pub(crate) struct Job {
    pub(super) records: usize,
    pub(super) work: Box<dyn Work>,
}

pub(super) trait Work: Send {
    /// Takes the decision into the draft.
    fn decide(&mut self, draft: &mut Draft<'_>) -> Result<(), Error>;
    /// Tells the caller how it ended.
    fn answer(self: Box<Self>, outcome: Result<(), Error>);
}

pub(super) struct Decision<F, T> {
    pub(super) by: Option<ShortName>,
    pub(super) decision: Option<F>,
    pub(super) value: Option<T>,
    pub(super) caller: oneshot::Sender<Result<T, Error>>,
}

impl<F, T: Send> Work for Decision<F, T>
where
    F: FnOnce(&mut Draft<'_>) -> Result<T, Error> + Send,
{
    fn decide(&mut self, draft: &mut Draft<'_>) -> Result<(), Error> {
        // If its caller is gone nothing of it was written, and nothing will be.
        if let Some(decision) = self.decision.take().filter(|_| !self.caller.is_canceled()) {
            draft.asked_by(self.by.take());
            self.value = Some(decision(draft)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>) {
        let result = match (outcome, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Err(error), _) => Err(error),
            (Ok(()), None) => return,
        };
        // The receiver is gone only if its caller is.
        let _ = self.caller.send(result);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.records)
    }
}
