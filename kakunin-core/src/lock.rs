//! One process at a time: a file that is locked while a folder or database is in use.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("in use by another process; stop it first")]
    InUse,
    /// The file cannot be opened or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Opens `path`, making it if it is not there, and locks it until the file is dropped.
///
/// Tries for half a second: a process that is just ending, or a child that has not run its program yet,
/// still holds the lock.
///
/// # Errors
/// [`LockError`].
pub fn exclusive(path: &Path) -> Result<File, LockError> {
    locked(path, File::try_lock)
}

/// The same beside others that lock it in this way.
///
/// # Errors
/// [`LockError`].
pub fn shared(path: &Path) -> Result<File, LockError> {
    locked(path, File::try_lock_shared)
}

fn locked(path: &Path, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<File, LockError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    for _ in 0..10 {
        match lock(&file) {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(LockError::InUse)
}
