//! Room that is set aside beside the database: for what takes trust away when there is none left (ADR 21).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::audit::Room;

/// Octets that are set aside where there is room for as many again; on small volumes less.
const SIZES: [u64; 5] = [8 << 20, 4 << 20, 2 << 20, 1 << 20, LEAST];
/// Less than this is none.
const LEAST: u64 = 512 << 10;
/// Octets that are given up at once: others fill the disk, too.
const STEP: u64 = 256 << 10;
/// A file system that has less than this left is full.
const NOTHING: u64 = 64 << 10;
/// What is written at once, again and again: further apart than what compresses looks back.
const CHUNK: usize = 64 << 10;
/// How long one is believed that says it has room and lets nobody write.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file, and what is known of the room beside it.
#[derive(Debug)]
pub(super) struct Reserve {
    database: PathBuf,
    path: PathBuf,
    room: Arc<Mutex<Room>>,
    /// When somebody may write to the file next, after that failed.
    not_before: Option<Instant>,
}

impl Reserve {
    pub(super) fn beside(database: &Path) -> Self {
        let mut name = database.as_os_str().to_owned();
        name.push(".reserve");
        let (database, path) = (database.to_owned(), PathBuf::from(name));
        let reserve = Self { database, path, room: Arc::default(), not_before: None };
        reserve.room().reserve = reserve.size();
        reserve
    }

    /// What is known, for whoever asks on another thread.
    pub(super) fn shared(&self) -> Arc<Mutex<Room>> {
        self.room.clone()
    }

    pub(super) fn is_full(&self) -> bool {
        self.room().full
    }

    /// A write found no room.
    pub(super) fn ran_out(&self) {
        self.room().full = true;
    }

    /// Makes the file as large as there is room for, and looks whether there is enough again.
    pub(super) fn look(&mut self) {
        let mut have = self.size();
        if self.not_before.is_none_or(|at| at <= Instant::now()) {
            have = self.enlarged(have);
            if self.is_full() && have >= LEAST && self.is_free(have / 4) {
                self.room().full = false;
            }
        }
        let free = self.free();
        // Some was given up, perhaps by a process before this one, or it is gone.
        let lacks = !SIZES.contains(&have) && free < have / 4;
        if lacks || have < LEAST && free < 2 * LEAST {
            self.ran_out();
        }
        self.room().reserve = have;
    }

    /// Gives a part of it to the file system. Says whether there was any.
    pub(super) fn give_up_some(&mut self) -> bool {
        let Ok(len) = fs::metadata(&self.path).map(|file| file.len()) else { return false };
        let left = len.saturating_sub(STEP);
        let done =
            len > 0 && OpenOptions::new().write(true).open(&self.path).and_then(|f| f.set_len(left)).is_ok();
        let mut room = self.room();
        (room.full, room.reserve) = (true, if done { left } else { room.reserve });
        done
    }

    /// Whether a write that failed did so because there is no room: a quota says so with another error than a file
    /// system does.
    pub(super) fn is_out(&mut self) -> bool {
        self.free() < NOTHING || self.extend(self.size(), NOTHING).is_err_and(|error| is_full(&error))
    }

    /// Octets that are there to be given up: a hole is none.
    fn size(&self) -> u64 {
        let Ok(file) = fs::symlink_metadata(&self.path) else { return 0 };
        #[cfg(unix)]
        let allocated = std::os::unix::fs::MetadataExt::blocks(&file).saturating_mul(512);
        #[cfg(not(unix))]
        let allocated = u64::MAX;
        if file.is_file() { file.len().min(allocated) } else { 0 }
    }

    fn enlarged(&mut self, have: u64) -> u64 {
        let free = self.free();
        for size in SIZES.into_iter().take_while(|size| *size > have) {
            if free < 2 * (size - have) {
                continue;
            }
            match self.extend(have, size - have) {
                Ok(file) if file.set_len(size).and_then(|()| file.sync_all()).is_ok() => return size,
                _ => self.not_before = Some(Instant::now() + PATIENCE),
            }
            break;
        }
        self.size()
    }

    /// Whether so much more can be written.
    fn is_free(&mut self, octets: u64) -> bool {
        if self.free() < octets {
            return false;
        }
        let have = self.size();
        let free = self.extend(have, octets).and_then(|file| file.set_len(have)).is_ok();
        self.not_before = (!free).then(|| Instant::now() + PATIENCE);
        free
    }

    /// Writes so much more behind the first `from` octets. What cannot be written whole is taken back.
    fn extend(&self, from: u64, more: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        let written = file.seek(SeekFrom::Start(from)).and_then(|_| write_noise(&mut file, from, more));
        match written {
            Ok(()) => Ok(file),
            Err(error) => file.set_len(from).and(Err(error)),
        }
    }

    /// What the file system says is left.
    fn free(&self) -> u64 {
        #[cfg(unix)]
        let free = rustix::fs::statvfs(&self.database).map(|s| s.f_bavail.saturating_mul(s.f_frsize));
        #[cfg(not(unix))]
        let free: io::Result<u64> = Ok(u64::MAX);
        free.unwrap_or(u64::MAX)
    }

    /// Whether the WAL, so many octets, may soon be larger than what is left: then it is copied before there is no room
    /// to do that.
    pub(super) fn is_little_beside(&self, wal: u64) -> bool {
        wal > self.free() / 4
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// What no file system stores in less room than it takes.
fn write_noise(file: &mut File, seed: u64, mut octets: u64) -> io::Result<()> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut chunk = Vec::with_capacity(CHUNK);
    while chunk.len() < CHUNK {
        // xorshift64: it need not be secret.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.extend_from_slice(&state.to_le_bytes());
    }
    while octets > 0 {
        let part = usize::try_from(octets).unwrap_or(usize::MAX).min(chunk.len());
        file.write_all(chunk.get(..part).unwrap_or_default())?;
        octets -= u64::try_from(part).unwrap_or(octets);
    }
    Ok(())
}
