//! A turn at a log, kept over several appends while there is something to append.

use crate::store::audit::{TURN, Turn};
use crate::time::Clock;

/// The turn that is kept, if there is one, and what the steady clock said when it began.
#[derive(Debug, Default)]
pub(crate) struct Held(Option<(Box<dyn Turn>, u64)>);

impl Held {
    pub(super) fn begin(&mut self, turn: Box<dyn Turn>, clock: &dyn Clock) {
        self.0 = Some((turn, clock.steady()));
    }

    /// How many records the log had when it began, if others may have appended before.
    pub(super) fn size(&self) -> Option<u64> {
        self.0.as_ref().and_then(|(turn, _)| turn.size())
    }

    pub(super) const fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// Whether it may be kept on: where nobody else appends it may for ever.
    pub(super) fn lasts(&self, clock: &dyn Clock) -> bool {
        let goes_on = |began: u64| clock.steady().saturating_sub(began) < TURN;
        self.0.as_ref().is_some_and(|(turn, began)| turn.size().is_none() || goes_on(*began))
    }

    /// Lets others have theirs, if there are any.
    pub(crate) fn end(&mut self) {
        if self.size().is_some() {
            self.0 = None;
        }
    }
}
