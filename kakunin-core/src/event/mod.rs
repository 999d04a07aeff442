//! What an agent did: events as hosts report them, and the facts of them that a risk model may read.

mod amount;
mod facts;
mod kind;
mod names;
mod report;

pub use amount::{Amount, Currency};
pub use facts::{Effect, Facts, Token, TokenKey, action_token, amount_bucket};
pub use kind::{Attribution, EventKind, Outcome};
pub use names::{Details, MAX_DETAILS_LEN, MAX_NAME_LEN, MAX_SHORT_NAME_LEN, Name, ShortName};
pub use report::{Event, EventError, MAX_EVENT_LEN, StreamSeq};
