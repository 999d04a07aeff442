//! The last signed checkpoints, kept outside of the store: whoever puts an older store back is found out by them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_channel::oneshot;

use crate::error::StoreError;

/// Keeps one value: see [`GuardFile`]. The store is held against it whenever a deployment is opened.
///
/// * Atomicity: a reader sees the value before or the value after.
/// * Durability: on return of `write` the value survives a crash.
/// * Concurrency: one writer.
/// * Idempotence: `write` sets.
#[async_trait]
pub trait Guard: core::fmt::Debug + Send + Sync {
    /// What was written last; `None` if nothing ever was.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn read(&self) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps this in place of what was kept before.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn write(&self, value: &[u8]) -> Result<(), StoreError>;

    /// Keeps a copy of what is there under another name, for people to look at: it is about to be replaced, and nobody
    /// could read it. Gives that name; `None` where there is no such place.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn set_aside(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
}

/// Why a deployment is not opened over its store: what is kept outside of it says something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// The store is an older one, or lost the end of a log.
    #[error(
        "log {log} has {found} records and its guard signed {kept}: the database is an older one, or its end is gone. \
         Put the newest one back; if this is the newest that is left, `kakunin log recover --new-origin` goes on from it"
    )]
    RolledBack {
        /// Which log.
        log: String,
        /// How many records it has.
        found: u64,
        /// How many were signed.
        kept: u64,
    },
    /// The store was recovered since, and this is one from before.
    #[error(
        "the database is from before a recovery of its logs: its epoch is {found}, the guard's is {kept}. Put the newest \
         one back; if this is the newest that is left, `kakunin log recover --new-origin` goes on from it"
    )]
    OldEpoch {
        /// The store's.
        found: u64,
        /// The guard's.
        kept: u64,
    },
    /// Another log was signed.
    #[error(
        "the first {size} records of log {log} are not those that its guard signed: somebody changed them, or this is \
         another copy that went on by itself. Put the right database back; if there is none, \
         `kakunin log recover --new-origin` goes on from this one"
    )]
    OtherLog {
        /// Which log.
        log: String,
        /// How many records the guard signed.
        size: u64,
    },
    /// The store says that it had a guard.
    #[error(
        "the guard file is gone. Put it back, or name it with --guard. If it is lost: after a backup was restored, \
         `kakunin log recover --new-origin` goes on; if the database is the newest, `kakunin log renew-guard` makes it anew"
    )]
    Missing,
    /// Not this deployment's, or not what was written.
    #[error(
        "the guard file is damaged, or another deployment's. Put it back, or name the right one with --guard. If it is \
         lost: after a backup was restored, `kakunin log recover --new-origin` goes on, and keeps the bad file under another \
         name; only if the database is known to be the newest, `kakunin log renew-guard` makes it anew"
    )]
    Foreign,
    /// There is a guard, and no deployment.
    #[error(
        "there is a guard file and no deployment: put the database back from a backup, or take the guard file away if a \
         new deployment is to begin here"
    )]
    Alone,
    /// A recovery that would accept again what was taken away.
    #[error(
        "no CRL and no feed snapshot of issuing CA {issuer} was given, so nobody knows what it revoked after the copy was \
         made: bring the newest that there is; if there is none, say --accept-unknown-revocations"
    )]
    Untold {
        /// Which.
        issuer: String,
    },
    /// A recovery that would accept again some of what was taken away.
    #[error(
        "what was brought of issuing CA {issuer} is a CRL of one of its shards, or older than the copy, so nobody knows all \
         that it revoked after the copy was made: bring its newest full CRL, or the newest snapshot of its feed; if there is \
         none, say --accept-unknown-revocations, and what was brought is revoked"
    )]
    PartlyTold {
        /// Which.
        issuer: String,
    },
    /// A recovery was cut off.
    #[error("a recovery of the logs was begun and is not done: run `kakunin log recover --new-origin` again")]
    Unfinished,
}

impl GuardError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } | Self::OldEpoch { .. } => "rolled_back",
            Self::OtherLog { .. } => "log_forked",
            Self::Missing => "guard_missing",
            Self::Foreign => "guard_foreign",
            Self::Alone => "database_gone",
            Self::Untold { .. } | Self::PartlyTold { .. } => "revocations_unknown",
            Self::Unfinished => "recovery_unfinished",
        }
    }
}

/// A guard in a file, best on another volume than the store.
#[derive(Clone, Debug)]
pub struct GuardFile(PathBuf, Arc<Order>);

/// A write goes on that its caller gave up: the next one waits for it, and an older one never comes after it.
#[derive(Debug, Default)]
struct Order {
    begun: AtomicU64,
    /// The last that was written.
    written: Mutex<u64>,
}

impl Order {
    fn in_turn(&self, number: u64, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if number > *written {
            write()?;
            *written = number;
        }
        Ok(())
    }
}

impl GuardFile {
    /// The guard in this file, which need not be there yet; its folder must.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into(), Arc::default())
    }
}

#[async_trait]
impl Guard for GuardFile {
    async fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        match fs::read(&self.0) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&self.0, &error)),
        }
    }

    async fn write(&self, value: &[u8]) -> Result<(), StoreError> {
        // A disk that takes its time keeps nobody waiting who runs on the caller's thread.
        let (path, value, (told, done)) = (self.0.clone(), value.to_vec(), oneshot::channel());
        let (order, number) = (self.1.clone(), self.1.begun.fetch_add(1, Ordering::SeqCst) + 1);
        let write = move || {
            let written = order.in_turn(number, || replace(&path, &value));
            _ = told.send(written.map_err(|error| failed(&path, &error)));
        };
        let thread = std::thread::Builder::new().name("kakunin-guard".into()).spawn(write);
        thread.map_err(StoreError::unavailable)?;
        done.await.map_err(StoreError::unavailable)?
    }

    async fn set_aside(&self) -> Result<Option<String>, StoreError> {
        set_aside(&self.0).map(Some).map_err(|error| failed(&self.0, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::unavailable(format!("the guard file {}: {error}", path.display())),
    }
}

/// Whoever reads sees the old file or the new one, also after a crash.
fn replace(path: &Path, value: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(value)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// The first name of `guard.bad`, `guard.bad-2` and so on that is free.
fn set_aside(path: &Path) -> io::Result<String> {
    let value = fs::read(path)?;
    for number in 1_u32.. {
        let mut beside = path.as_os_str().to_owned();
        beside.push(if number == 1 { ".bad".to_owned() } else { format!(".bad-{number}") });
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&beside) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            opened => {
                let mut file = opened?;
                file.write_all(&value)?;
                file.sync_all()?;
                return Ok(PathBuf::from(beside).display().to_string());
            }
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pollster::block_on;

    #[test]
    fn writes_that_were_given_up_come_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let guard = GuardFile::new(dir.path().join("guard"));
        for number in 0..200_u32 {
            // Begun, and dropped while its thread writes.
            let mut given_up = guard.write(&[b'x'; 100_000]);
            let mut context = core::task::Context::from_waker(core::task::Waker::noop());
            let _ = given_up.as_mut().poll(&mut context);
            drop(given_up);
            block_on(guard.write(&number.to_be_bytes())).unwrap();
            assert_eq!(block_on(guard.read()).unwrap().unwrap(), number.to_be_bytes());
        }
    }

    #[test]
    fn a_file_keeps_the_last_value_and_what_cannot_be_written_leaves_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("guard");
        let guard = GuardFile::new(&path);
        assert_eq!(block_on(guard.read()).unwrap(), None);
        block_on(guard.write(b"one")).unwrap();
        // What a crash left half written beside it is written over.
        fs::write(dir.path().join("guard.new"), [b'x'; 10_000]).unwrap();
        block_on(guard.write(b"two")).unwrap();
        assert_eq!(block_on(guard.read()).unwrap().unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        fs::create_dir(dir.path().join("guard.new")).unwrap();
        let refused = block_on(guard.write(b"three")).unwrap_err();
        let why = std::error::Error::source(&refused).unwrap().to_string();
        assert!(why.contains(&path.display().to_string()), "which file it is: {why}");
        assert_eq!(block_on(guard.read()).unwrap().unwrap(), b"two");
        block_on(GuardFile::new(dir.path().join("no/such/guard")).write(b"x")).unwrap_err();
    }
}
