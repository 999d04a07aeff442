//! PostgreSQL's errors, sorted by who must act, and by whether it is certain that nothing was written.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::StoreError;
use crate::id::{AgentId, IssuerId};

/// Not the head of the log: see `state.advance`.
const NOT_THE_HEAD: &str = "KK001";
/// A key is another agent's: see `audit.bind`.
const KEY_TAKEN: &str = "KK002";

/// An error of what only reads, or of what the server undid.
pub(super) fn undone(error: Error) -> StoreError {
    let Some(said) = error.as_db_error() else { return StoreError::not_written(error) };
    match said.code() {
        code if code.code() == NOT_THE_HEAD => StoreError::Conflict,
        code if code.code() == KEY_TAKEN => taken(said),
        // Two appends that waited for each other, or saw each other: the log moved on.
        &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => StoreError::Conflict,
        &SqlState::DISK_FULL => StoreError::Full,
        &SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::not_written(
            "the database only reads: it is a standby, or default_transaction_read_only is on; connect to the primary",
        ),
        &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED => {
            StoreError::Corrupt(said.message().to_owned())
        }
        &SqlState::UNIQUE_VIOLATION => StoreError::Corrupt(format!(
            "there are records beyond the head of a log, or a month begins twice: {}",
            said.detail().unwrap_or_default()
        )),
        _ => StoreError::not_written(error),
    }
}

/// An error of the statement that commits: what the server undid was not written, of anything else nobody knows.
pub(super) fn of_commit(error: Error) -> StoreError {
    match is_undone(&error) {
        true => undone(error),
        false => StoreError::unavailable(error),
    }
}

/// Whether the server said that it undid the transaction, and lives on to say so.
fn is_undone(error: &Error) -> bool {
    let severity = error.as_db_error().and_then(DbError::parsed_severity);
    matches!(severity, Some(Severity::Error))
}

/// An error of reading.
pub(super) fn unread(error: Error) -> StoreError {
    match undone(error) {
        StoreError::NotWritten(source) => StoreError::Unavailable(source),
        sorted => sorted,
    }
}

fn taken(said: &DbError) -> StoreError {
    let named = said.detail().and_then(|detail| {
        let (key, agent) = detail.split_once(' ')?;
        let (mut key_octets, mut agent_octets) = ([0; 20], [0; 16]);
        base16ct::lower::decode(key, &mut key_octets).ok()?;
        base16ct::lower::decode(agent, &mut agent_octets).ok()?;
        Some((IssuerId::from_bytes(key_octets), AgentId::from_bytes(agent_octets)))
    });
    match named {
        Some((key, agent)) => StoreError::KeyTaken { key, agent },
        None => {
            StoreError::not_written("a key belongs to another agent, and the database does not say to whom")
        }
    }
}
