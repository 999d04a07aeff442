//! Copies the WAL into the file on a thread and connection of its own, so that no commit waits for the bulk of that. Only
//! whoever writes sees when nothing is left, and has the WAL begin anew: it copies what came meanwhile.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::schema;

/// Pages of WAL that are worth copying: 8 MB. The heads of many logs are written again and again, so a later copy is a
/// smaller one.
pub(super) const WORTH: i64 = 2_000;
/// Pages at which whoever writes waits for the copy: so the WAL is bounded.
const MOST: i64 = 8_000;

/// The thread; dropping it ends it.
#[derive(Debug)]
pub(super) struct Copier {
    asked: Option<Sender<()>>,
    copied: Receiver<()>,
    /// Whether it is at it.
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// `file` is the same file, opened once more and closed last: closing it gives up all locks of this process.
    pub(super) fn start(path: &Path, file: Arc<File>) -> Option<Self> {
        let connection = schema::open_writer(path).ok()?;
        let (asked, asks) = channel();
        let (done, copied) = channel();
        let thread = std::thread::Builder::new().name("kakunin-wal".into());
        let thread = thread.spawn(move || serve(&connection, &file, &asks, &done)).ok()?;
        Some(Self { asked: Some(asked), copied, busy: false, thread: Some(thread) })
    }

    /// Has it copy if that is worth it, and says whether whoever writes is to copy what is left of so many pages.
    pub(super) fn is_through(&mut self, pages: i64) -> bool {
        if !self.busy {
            let asked = pages >= WORTH && self.asked.as_ref().is_some_and(|asked| asked.send(()).is_ok());
            self.busy = asked;
            // If its thread ended, whoever writes does it.
            return pages >= WORTH && !asked;
        }
        let through = match self.copied.try_recv() {
            Err(TryRecvError::Empty) if pages < MOST => false,
            Err(TryRecvError::Empty) => {
                let _ = self.copied.recv();
                true
            }
            Ok(()) | Err(TryRecvError::Disconnected) => true,
        };
        self.busy = !through;
        through
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        drop(self.asked.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, file: &File, asks: &Receiver<()>, done: &Sender<()>) {
    while asks.recv().is_ok() {
        // What fails here fails again where whoever writes copies the rest, and is answered for there.
        let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        // SQLite does this only when nothing came meanwhile; else all of it would be left for then.
        let _ = copied.is_ok() && file.sync_data().is_ok();
        if done.send(()).is_err() {
            return;
        }
    }
}
