//! Tables that files of earlier formats lack are filled from their logs.

use rusqlite::Connection;

use super::{bound, rows};
use crate::error::StoreError;
use crate::store::bound::Bindings;

/// Entries read at once.
const STEP: usize = 4_096;

/// Whose each key is, within the transaction that makes the table.
pub(super) fn bound_keys(connection: &Connection) -> Result<(), StoreError> {
    let mut bindings = Bindings::default();
    for log in rows::logs(connection)? {
        for from in (0..rows::size(connection, &log)?).step_by(STEP) {
            for entry in rows::read(connection, &log, from, STEP)? {
                bindings.take(&entry)?;
            }
        }
    }
    bindings.found().try_for_each(|binding| bound::put(connection, &binding))
}
