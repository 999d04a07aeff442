//! What the next CRL may not take back. Independent of how it was made: a fault elsewhere is caught here,
//! before anybody is told that a revoked certificate is good.

use std::collections::HashSet;

use super::index::Kept;
use super::published::PublishedCrl;
use crate::id::Serial;
use crate::service::error::Regression;
use crate::service::state::crl_mark::Mark;
use crate::time::UnixTime;

/// Checks that no entry of `last` is gone, but for those that expired or were released.
///
/// # Errors
/// [`Regression::Vanished`].
pub(super) fn keeps_entries(
    last: &[Kept],
    next: &HashSet<Serial>,
    released: impl Fn(&Serial) -> bool,
    now: UnixTime,
) -> Result<(), Regression> {
    let stands = |kept: &&Kept| kept.expires >= now && !released(&kept.serial);
    match last.iter().filter(stands).find(|kept| !next.contains(&kept.serial)) {
        Some(kept) => Err(Regression::Vanished(kept.serial)),
        None => Ok(()),
    }
}

/// Checks that number, thisUpdate and cursor go forward.
///
/// # Errors
/// [`Regression`].
pub(super) fn goes_forward(last: &PublishedCrl, next: Mark, cursor: u64) -> Result<(), Regression> {
    if next.number <= last.number {
        return Err(Regression::Number);
    }
    if !next.is_above(last.mark()) {
        return Err(Regression::ThisUpdate);
    }
    if cursor < last.cursor {
        return Err(Regression::Cursor);
    }
    Ok(())
}
