//! Writing rows: many a statement. SQLite keeps a copy of each page that a statement changes until it is over, since
//! a trigger may refuse it: for many rows as for one.

use rusqlite::{CachedStatement, Connection};

use super::error::store_error;
use crate::error::StoreError;
use crate::log::entry::{Entry, Payload};
use crate::store::state::Change;

/// Rows of a statement, the most first; the last is one.
const SIZES: [usize; 3] = [32, 8, 1];

const LEAF: (&str, &str) = ("INSERT INTO leaf(log_id, idx, leaf)", "(?, ?, ?)");
const PAYLOAD: (&str, &str) = ("INSERT INTO payload(log_id, idx, salt, octets)", "(?, ?, ?, ?)");
const STATE: (&str, &str) = ("INSERT OR REPLACE INTO state(log_id, kind, key, value)", "(?, ?, ?, ?)");

/// Inserts leaves and payloads from index `first`.
pub(super) fn insert(
    connection: &Connection,
    log: i64,
    first: i64,
    entries: &[Entry],
) -> Result<(), StoreError> {
    let leaves: Vec<(i64, &Entry)> = (first..).zip(entries).collect();
    let payloads = leaves.iter().filter_map(|(index, entry)| Some((*index, entry.payload.as_ref()?)));
    let payloads: Vec<(i64, &Payload)> = payloads.collect();
    let leaf = |to: &mut CachedStatement<'_>, at, (index, entry): &(i64, &Entry)| {
        to.raw_bind_parameter(at, log)?;
        to.raw_bind_parameter(at + 1, index)?;
        to.raw_bind_parameter(at + 2, &entry.leaf)
    };
    let payload = |to: &mut CachedStatement<'_>, at, (index, payload): &(i64, &Payload)| {
        to.raw_bind_parameter(at, log)?;
        to.raw_bind_parameter(at + 1, index)?;
        to.raw_bind_parameter(at + 2, payload.salt)?;
        to.raw_bind_parameter(at + 3, &payload.octets)
    };
    insert_into(connection, LEAF, &leaves, leaf)
        .and_then(|()| insert_into(connection, PAYLOAD, &payloads, payload))
        .map_err(store_error)
}

/// Puts rows of the state, in place of what is there.
pub(super) fn put(connection: &Connection, log: i64, rows: &[Change]) -> Result<(), StoreError> {
    let bind = |to: &mut CachedStatement<'_>, at, row: &Change| {
        to.raw_bind_parameter(at, log)?;
        to.raw_bind_parameter(at + 1, row.kind.code())?;
        to.raw_bind_parameter(at + 2, &row.key)?;
        to.raw_bind_parameter(at + 3, &row.value)
    };
    insert_into(connection, STATE, rows, bind).map_err(store_error)
}

/// Inserts rows, as many at once as there are; `bind` binds the parameters of one from that number on.
fn insert_into<T>(
    connection: &Connection,
    (insert, values): (&str, &str),
    mut rows: &[T],
    bind: impl Fn(&mut CachedStatement<'_>, usize, &T) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let parameters = values.matches('?').count();
    for size in SIZES {
        if rows.len() < size {
            continue;
        }
        let sql = format!("{insert} VALUES {}", vec![values; size].join(", "));
        let mut statement = connection.prepare_cached(&sql)?;
        while let Some((some, rest)) = rows.split_at_checked(size) {
            for (at, row) in (1..).step_by(parameters).zip(some) {
                bind(&mut statement, at, row)?;
            }
            statement.raw_execute()?;
            rows = rest;
        }
    }
    Ok(())
}
