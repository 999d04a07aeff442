//! SQLite's errors, sorted by who must act.

use rusqlite::ErrorCode;

use crate::error::StoreError;

/// `SQLITE_IOERR_SHMSIZE`: the WAL index could not grow, which is how a full disk shows first.
const SHM_SIZE: i32 = 4_874;

pub(super) fn store_error(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error() {
        Some(e) if e.code == ErrorCode::DiskFull || e.extended_code == SHM_SIZE => StoreError::Full,
        Some(e) if e.code == ErrorCode::NotADatabase => {
            StoreError::Foreign("the file is not an SQLite database; name another file, or restore it".into())
        }
        Some(e) if e.code == ErrorCode::DatabaseCorrupt => corrupt("SQLite finds the file malformed"),
        _ => StoreError::unavailable(error),
    }
}

pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(what.to_owned())
}
