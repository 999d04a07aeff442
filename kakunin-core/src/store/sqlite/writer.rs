//! The one thread that writes. Whatever waits for it goes into one transaction, each call under its own
//! savepoint, and every caller is answered after COMMIT, before the WAL is copied into the file. Where there is no room,
//! what takes trust away is written into what is set aside for it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_lock::{Semaphore, SemaphoreGuardArc};
use futures_channel::oneshot;
use rusqlite::Connection;

use super::copier::{Copier, WORTH};
use super::error::{may_be_full, store_error};
use super::reserve::Reserve;
use super::{rows, schema};
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::entry::LogId;
use crate::revoke::{Revocation, RevocationChange};
use crate::store::audit::Append;
use crate::store::state::{Change, Touched};

/// Entries that go into one transaction, about: nobody with one entry waits long for others with many.
const MAX_GROUP: usize = 4_096;

/// Calls that wait at once; whoever comes then waits before it is one of them, unless it takes trust away.
const PLACES: usize = 256;
/// Pages of WAL that are worth copying where there is little room.
const FEW_PAGES: i64 = 16;
/// Octets to which the WAL's file is cut when it begins anew, after a long reader let it grow.
const MOST_WAL: i64 = 64 << 20;
/// Octets of a page.
const PAGE: u64 = 4_096;

/// One call.
#[derive(Debug)]
pub(super) enum Work {
    Append(Vec<Append>),
    Apply(LogId, u64, Vec<Change>),
    Put(LogId, Vec<Change>),
    /// Refused as a conflict if the value is not this one.
    Swap(LogId, Option<Vec<u8>>, Change),
    Revocations(IssuerId, Vec<(u64, RevocationChange)>),
    Replace(IssuerId, u64, Vec<(u64, Revocation)>),
    /// Nothing: to see whether somebody else wrote.
    Look,
}

impl Work {
    fn size(&self) -> usize {
        1 + match self {
            Self::Append(appends) => appends.iter().map(|a| a.entries.len()).sum(),
            Self::Apply(_, _, changes) | Self::Put(_, changes) => changes.len(),
            Self::Revocations(_, changes) => changes.len(),
            Self::Replace(_, _, standing) => standing.len(),
            Self::Swap(..) => 1,
            Self::Look => 0,
        }
    }

    /// Whether it may use what is set aside: it takes trust away, or takes rows away that are done with, or writes
    /// nothing.
    fn is_reserved(&self) -> bool {
        match self {
            Self::Append(appends) => appends.iter().any(|append| append.reserved),
            Self::Put(_, changes) => changes.iter().all(|change| change.value.is_none()),
            Self::Look => true,
            Self::Apply(..) | Self::Swap(..) | Self::Revocations(..) | Self::Replace(..) => false,
        }
    }
}

/// A call as it waits: with its answer, and its place among those that wait.
#[derive(Debug)]
struct Call {
    work: Work,
    answer: oneshot::Sender<Result<(), StoreError>>,
    _place: Option<SemaphoreGuardArc>,
}

/// Sends calls to the thread; dropping it ends the thread after what it was sent.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Call>>,
    places: Arc<Semaphore>,
    touched: Arc<Mutex<Touched>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// `file` is the database's, opened once more; it is closed after everything else.
    pub(super) fn start(
        path: PathBuf,
        connection: Connection,
        reserve: Reserve,
        file: Arc<File>,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = channel();
        connection.pragma_update(None, "journal_size_limit", MOST_WAL).map_err(store_error)?;
        // Those that insert many rows are there in three sizes.
        connection.set_prepared_statement_cache_capacity(64);
        let touched = Arc::new(Mutex::default());
        let guard = Guard { version: schema::data_version(&connection)?, touched: touched.clone() };
        let thread = std::thread::Builder::new().name("kakunin-sqlite".into());
        let thread = thread
            .spawn(move || serve((&path, file), connection, (guard, reserve), &queue))
            .map_err(StoreError::unavailable)?;
        let places = Arc::new(Semaphore::new(PLACES));
        Ok(Self { jobs: Some(jobs), places, touched, thread: Some(thread) })
    }

    pub(super) async fn call(&self, work: Work) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let gone = || StoreError::unavailable("the writing thread has ended; open the store anew");
        let _place = if work.is_reserved() { None } else { Some(self.places.acquire_arc().await) };
        self.jobs.as_ref().ok_or_else(gone)?.send(Call { work, answer, _place }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// What somebody else was seen to do.
    pub(super) fn touched(&self) -> Touched {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sees, at each transaction, whether another connection wrote since the last one.
#[derive(Debug)]
struct Guard {
    version: i64,
    touched: Arc<Mutex<Touched>>,
}

impl Guard {
    /// Within the transaction: what was added to the schema does nothing to what is written in it.
    fn look(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let version = schema::data_version(connection)?;
        if version == self.version {
            return Ok(());
        }
        let structure = schema::mend(connection);
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        touched.writes += 1;
        if let Ok(said) = &structure {
            touched.structure.extend(said.iter().cloned());
            self.version = version;
        }
        structure.map(|_| ())
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

fn serve(
    (path, file): (&Path, Arc<File>),
    mut connection: Connection,
    (mut guard, mut reserve): (Guard, Reserve),
    queue: &Receiver<Call>,
) {
    let mut copier = Copier::start(path, file);
    while let Ok(first) = queue.recv() {
        let group = group(first, queue);
        let works: Vec<_> = group.iter().map(|call| &call.work).collect();
        let results = write(&connection, &mut guard, &mut reserve, &works);
        // So that a flood of what is refused takes nothing of what is set aside.
        let takes = works.iter().any(|work| matches!(work, Work::Append(_)) && work.is_reserved());
        for (call, result) in group.into_iter().zip(results) {
            // A caller that went away does not need its answer.
            let _ = call.answer.send(result);
        }
        // A transaction that could not be undone: closing the connection undoes it. If there is no new one
        // yet, every call fails until there is.
        if !connection.is_autocommit()
            && let Ok(fresh) = schema::open_writer(path)
        {
            connection = fresh;
            // Its numbers are others; its opening looked at the schema.
            guard.version = schema::data_version(&connection).unwrap_or(-1);
        }
        copy(&connection, &mut reserve, copier.as_mut(), takes);
    }
    // The last connection to close is the one that writes.
    drop(copier);
}

/// Has the WAL copied into the file, and copies what is left, or all of it before there is no room to do so: it is written
/// from its beginning then. If it fails nothing is lost: the WAL stays, and the next group tries again.
fn copy(connection: &Connection, reserve: &mut Reserve, copier: Option<&mut Copier>, takes: bool) {
    let pages = wal_pages(connection);
    let octets = u64::try_from(pages).unwrap_or_default().saturating_mul(PAGE);
    let through = copier.map_or(pages >= WORTH, |copier| copier.is_through(pages));
    if !through && (pages < FEW_PAGES || !reserve.is_little_beside(octets)) {
        return;
    }
    let checkpoint =
        || connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(store_error);
    // Where the WAL can be written from its beginning, what takes trust away needs little more room.
    while matches!(checkpoint(), Err(StoreError::Full))
        && takes
        && reserve.is_full()
        && reserve.give_up_some()
    {}
}

/// Commits what there is room for. Once there is none, that is what takes trust away, until there is enough again.
fn write(
    connection: &Connection,
    guard: &mut Guard,
    reserve: &mut Reserve,
    group: &[&Work],
) -> Vec<Result<(), StoreError>> {
    if reserve.is_full() || group.iter().any(|work| matches!(work, Work::Look)) {
        reserve.look();
    }
    let mut results = match reserve.is_full() {
        false => commit(connection, guard, reserve, group),
        true => group.iter().map(|_| Err(StoreError::Full)).collect(),
    };
    let is_full = |result: &Result<(), StoreError>| matches!(result, Err(StoreError::Full));
    if !results.iter().any(is_full) {
        return results;
    }
    reserve.ran_out();
    let (again, places): (Vec<&Work>, Vec<_>) = group
        .iter()
        .zip(&mut results)
        .filter_map(|(work, result)| (work.is_reserved() && is_full(result)).then_some((*work, result)))
        .unzip();
    if again.is_empty() {
        return results;
    }
    let written = loop {
        let written = commit(connection, guard, reserve, &again);
        if !written.iter().any(is_full) || !reserve.give_up_some() {
            break written;
        }
    };
    places.into_iter().zip(written).for_each(|(place, result)| *place = result);
    results
}

/// A call, and those that wait behind it.
fn group(first: Call, queue: &Receiver<Call>) -> Vec<Call> {
    let mut size = first.work.size();
    let mut group = vec![first];
    while size < MAX_GROUP
        && let Ok(next) = queue.try_recv()
    {
        size += next.work.size();
        group.push(next);
    }
    group
}

/// Pages of the WAL that are not in the file yet; 0 if that is not known.
fn wal_pages(connection: &Connection) -> i64 {
    let pages = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(1)? - row.get::<_, i64>(2)?);
    let statement = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)");
    statement.and_then(|mut s| s.query_row([], pages)).unwrap_or_default()
}

fn commit(
    connection: &Connection,
    guard: &mut Guard,
    reserve: &mut Reserve,
    group: &[&Work],
) -> Vec<Result<(), StoreError>> {
    try_commit(connection, guard, group).unwrap_or_else(|error| {
        // Whatever was begun is undone; if SQLite did it already, this changes nothing.
        let _ = connection.execute_batch("ROLLBACK");
        let error = if may_be_full(&error) && reserve.is_out() { StoreError::Full } else { error };
        group.iter().map(|_| Err(error.clone())).collect()
    })
}

/// The results of each call, if the transaction was committed.
fn try_commit(
    connection: &Connection,
    guard: &mut Guard,
    group: &[&Work],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    guard.look(connection)?;
    let mut results = Vec::with_capacity(group.len());
    if let [alone] = group {
        // Nobody else's call is undone with it.
        run(connection, alone)?;
        results.push(Ok(()));
    }
    for work in group.iter().skip(results.len()) {
        execute(connection, "SAVEPOINT call")?;
        let result = run(connection, work);
        match &result {
            Ok(()) => execute(connection, "RELEASE call")?,
            // Out of space or worse: SQLite may have ended the transaction, so nobody's call stands.
            Err(_) if connection.is_autocommit() => return result.map(|()| results),
            Err(error) if matches!(error, StoreError::Full) || may_be_full(error) => {
                return result.map(|()| results);
            }
            Err(_) => connection.execute_batch("ROLLBACK TO call; RELEASE call").map_err(store_error)?,
        }
        results.push(result);
    }
    execute(connection, "COMMIT")?;
    Ok(results)
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    statement.execute([]).map(|_| ()).map_err(store_error)
}

fn run(connection: &Connection, work: &Work) -> Result<(), StoreError> {
    match work {
        Work::Append(appends) => appends.iter().try_for_each(|append| rows::append(connection, append)),
        Work::Apply(log, size, changes) => rows::apply_state(connection, log, *size, changes),
        Work::Put(log, changes) => rows::put_state(connection, log, changes),
        Work::Swap(log, expected, change) => rows::swap(connection, log, expected.as_deref(), change),
        Work::Revocations(issuer, changes) => rows::apply_revocations(connection, issuer, changes),
        Work::Replace(issuer, applied, standing) => {
            rows::replace_revocations(connection, issuer, *applied, standing)
        }
        Work::Look => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::state::Kind;

    fn call(tenant: &str, changes: usize) -> Call {
        let change = Change { kind: Kind::Cursor, key: Vec::new(), value: Some(Vec::new()) };
        let work = Work::Put(LogId::Tenant(tenant.parse().unwrap()), vec![change; changes]);
        Call { work, answer: oneshot::channel().0, _place: None }
    }

    #[test]
    fn who_has_much_takes_those_along_who_wait_behind_it() {
        let (jobs, queue) = channel();
        // The append of one is as large as any can be.
        for n in 0..10 {
            jobs.send(call(&format!("other-{n}"), 1)).unwrap();
        }
        jobs.send(call("flood", 4_000)).unwrap();
        jobs.send(call("other-10", 1)).unwrap();
        assert_eq!(group(call("flood", 4_000), &queue).len(), 12, "one transaction for all who waited");
        assert_eq!(queue.try_recv().unwrap().work.size(), 2, "and the next for who came then");
    }
}
