//! What a command is.

use super::draft::Draft;
use crate::service::error::Error;

/// What somebody asks for, as a value.
///
/// To decide is pure: the draft holds state, policy and time, what is random the command brings along. Records come out
/// with the answer, or a refusal, which leaves nothing behind; nothing waits, and nothing but the draft changes. So a
/// command is decided in a test, once more if the store refused what was drafted with it, or for a look at what would come of it, as it is when it is meant.
pub(crate) trait Command: Clone + Send + 'static {
    /// What it may use where there is no room left.
    const NEED: Need;
    /// What its caller is told once the records are durable.
    type Answer: Send + 'static;

    /// About how many records it makes: appends are grouped by that.
    fn records(&self) -> usize {
        4
    }

    /// Records in the draft and an answer, or a refusal.
    fn decide(self, draft: &mut Draft<'_>) -> Result<Self::Answer, Error>;
}

/// What a decision may use where there is no room left (ADR 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it is refused.
    Ordinary,
    /// Nothing, either; and it makes a key an agent's, which the store may refuse: then everything that was decided with
    /// it is decided again (ADR 23).
    Key,
    /// It takes in events, of which those are recorded that take an identity away: see [`Draft::scarce`].
    Events,
    /// It takes trust away: what is set aside for that.
    Reserved,
}
