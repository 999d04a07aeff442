//! SQLite's errors, sorted by who must act.

use rusqlite::ErrorCode;

use crate::error::StoreError;

/// `SQLITE_IOERR_SHMSIZE`: the WAL index could not grow, which is how a full disk shows first.
const SHM_SIZE: i32 = 4_874;
/// What a quota that is used up looks like: `SQLITE_CANTOPEN`, `SQLITE_IOERR_WRITE`, `SQLITE_IOERR_SHMMAP`. Nothing was
/// committed then; of what could not be flushed (`SQLITE_IOERR_FSYNC`) that is not certain.
const MAY_BE_FULL: [i32; 3] = [14, 778, 5_386];

/// Whether this is what a file system without room may say in other words.
pub(super) fn may_be_full(error: &StoreError) -> bool {
    let StoreError::Unavailable(source) = error else { return false };
    let error = source.downcast_ref().and_then(rusqlite::Error::sqlite_error);
    error.is_some_and(|error| MAY_BE_FULL.contains(&error.extended_code))
}

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
