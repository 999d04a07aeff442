//! Heads of logs: those they had before, and whether records lead to the one they have.

use rusqlite::{Connection, OptionalExtension, params};

use super::error::{corrupt, store_error};
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, Hash};

/// Size and subtree roots after an append that led to this size; `None` if none did, or what is stored of it is none.
pub(super) fn frontier(
    connection: &Connection,
    log: &LogId,
    size: u64,
) -> Result<Option<Frontier>, StoreError> {
    let sql = "SELECT frontier FROM batch
        WHERE log_id = (SELECT id FROM log WHERE name = ?1) AND new_size = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let bound = params![log.to_string(), i64::try_from(size).unwrap_or(i64::MAX)];
    let found: Option<Vec<u8>> =
        statement.query_row(bound, |row| row.get(0)).optional().map_err(store_error)?;
    let roots = |octets: Vec<u8>| octets.chunks_exact(32).filter_map(|c| Hash::try_from(c).ok()).collect();
    Ok(found.and_then(|octets| Frontier::from_parts(size, roots(octets))))
}

/// Refuses a file in which the records of a log end before its newest head, or after it: nothing could be appended.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT name,
            coalesce((SELECT max(idx) + 1 FROM leaf WHERE log_id = log.id), 0),
            coalesce((SELECT max(new_size) FROM batch WHERE log_id = log.id), 0)
        FROM log";
    let mut statement = connection.prepare(sql).map_err(store_error)?;
    let ends = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    for end in ends.map_err(store_error)? {
        let (log, records, size): (String, i64, i64) = end.map_err(store_error)?;
        if records != size {
            return Err(corrupt(&format!(
                "log {log} has {records} records and its head is at {size}: somebody changed it; restore the file"
            )));
        }
    }
    Ok(())
}
