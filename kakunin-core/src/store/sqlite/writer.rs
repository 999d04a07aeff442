//! The one thread that writes. Whatever waits for it goes into one transaction, each call under its own
//! savepoint, and every caller is answered after COMMIT.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use futures_channel::oneshot;
use rusqlite::Connection;

use super::error::store_error;
use super::rows;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::sink::{Append, LogId};
use crate::revoke::RevocationChange;
use crate::state::Change;

/// Calls that go into one transaction.
const MAX_GROUP: usize = 256;

/// One call.
#[derive(Debug)]
pub(super) enum Work {
    Append(Vec<Append>),
    Apply(LogId, u64, Vec<Change>),
    Put(LogId, Vec<Change>),
    Revocations(IssuerId, Vec<(u64, RevocationChange)>),
}

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// Sends calls to the thread; dropping it ends the thread after what it was sent.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<(Work, Answer)>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new().name("kakunin-sqlite".into());
        let thread = thread.spawn(move || serve(&connection, &queue)).map_err(StoreError::unavailable)?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) async fn call(&self, work: Work) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::unavailable("the writing thread has ended; open the store anew");
        self.jobs.as_ref().ok_or_else(gone)?.send((work, answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

fn serve(connection: &Connection, queue: &Receiver<(Work, Answer)>) {
    while let Ok(first) = queue.recv() {
        let group: Vec<_> = std::iter::once(first).chain(queue.try_iter()).take(MAX_GROUP).collect();
        let results = commit(connection, group.iter().map(|(work, _)| work));
        for ((_, answer), result) in group.into_iter().zip(results) {
            // A caller that went away does not need its answer.
            let _ = answer.send(result);
        }
    }
}

fn commit<'w>(connection: &Connection, group: impl Iterator<Item = &'w Work>) -> Vec<Result<(), StoreError>> {
    let group: Vec<_> = group.collect();
    match try_commit(connection, &group) {
        Ok(results) => results,
        Err(error) => {
            // Whatever was begun is undone; if SQLite did it already, this changes nothing.
            let _ = connection.execute_batch("ROLLBACK");
            let full = matches!(error, StoreError::Full);
            let text = error.to_string();
            let each = || {
                if full { StoreError::Full } else { StoreError::unavailable(text.clone()) }
            };
            group.iter().map(|_| Err(each())).collect()
        }
    }
}

/// The results of each call, if the transaction was committed.
fn try_commit(connection: &Connection, group: &[&Work]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(store_error)?;
    let mut results = Vec::with_capacity(group.len());
    for work in group {
        connection.execute_batch("SAVEPOINT call").map_err(store_error)?;
        let result = run(connection, work);
        match &result {
            Ok(()) => connection.execute_batch("RELEASE call").map_err(store_error)?,
            // Out of space or worse: SQLite may have ended the transaction, so nobody's call stands.
            Err(_) if connection.is_autocommit() => return result.map(|()| results),
            Err(StoreError::Full) => return result.map(|()| results),
            Err(_) => connection.execute_batch("ROLLBACK TO call; RELEASE call").map_err(store_error)?,
        }
        results.push(result);
    }
    connection.execute_batch("COMMIT").map_err(store_error)?;
    Ok(results)
}

fn run(connection: &Connection, work: &Work) -> Result<(), StoreError> {
    match work {
        Work::Append(appends) => appends.iter().try_for_each(|append| rows::append(connection, append)),
        Work::Apply(log, size, changes) => rows::apply_state(connection, log, *size, changes),
        Work::Put(log, changes) => rows::put_state(connection, log, changes),
        Work::Revocations(issuer, changes) => rows::apply_revocations(connection, issuer, changes),
    }
}
