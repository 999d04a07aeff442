//! Join tokens: when they open something.

use crate::access::JoinTokenFacts;
use crate::time::{MINUTE, UnixTime};

/// The longest life of a join token, in milliseconds.
pub const MAX_JOIN_TOKEN_LIFE: u64 = 10 * MINUTE;

/// Whether a join token opens anything at this time. Nor does one whose end is further away than any life: it was made
/// by a clock that was ahead.
pub(crate) fn redeemable(token: &JoinTokenFacts, now: UnixTime) -> bool {
    now <= token.expires_at && token.expires_at.since(now) <= MAX_JOIN_TOKEN_LIFE
}
