//! What the next CRL may not take back. Independent of how it was made: a fault elsewhere is caught here,
//! before anybody is told that a revoked certificate is good.

use std::collections::HashSet;

use super::index::Kept;
use super::mark::Mark;
use super::published::PublishedCrl;
use crate::id::Serial;
use crate::time::UnixTime;

/// A CRL that would take back what an earlier one said. It is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Regression {
    /// An entry is gone though its certificate has not expired and no hold was released.
    #[error("the CRL lost serial {0}, which no record released; restore the revocations from the log")]
    Vanished(Serial),
    /// The number does not grow.
    #[error("the number of the CRL does not grow")]
    Number,
    /// thisUpdate does not grow: some relying parties would keep the older CRL.
    #[error("thisUpdate of the CRL does not grow; make it a second after the last one's")]
    ThisUpdate,
    /// It was made from less of the revocation log than the last one.
    #[error("the revocation log is shorter than the last CRL; a restored store must not be behind")]
    Cursor,
}

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
