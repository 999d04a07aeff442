//! Whose turn it is to append to a log: an advisory lock of a session. The turn's appends go over that session, so that they
//! end with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_lock::{Mutex as Queue, MutexGuardArc};
use futures_util::future::{join, join3};
use sha2::{Digest, Sha256};

use super::error::undone;
use super::link::{BRIEF, Connector, Link};
use super::pool::{Lent, Pool};
use super::rows::number;
use super::sql;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::store::audit::Turn;

/// Turns at once in tenants' logs, and in others. Whoever has a tenant's turn gets that of a list of revocations.
const TENANTS: usize = 16;
const OTHERS: usize = 4;
/// How long one is waited for, in this process and at the server together.
const WAIT: Duration = Duration::from_secs(6);
/// While a turn lasts: a process that is stopped in its turn loses it.
const HELD: &str = "SET idle_session_timeout = '2s'";
const FREE: &str = "SET idle_session_timeout = 0";

/// Gives turns.
#[derive(Debug)]
pub(super) struct Turns {
    connector: Connector,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tenants: Arc<Pool>,
    others: Arc<Pool>,
    /// Those of this process who want one log's turn.
    queues: Mutex<HashMap<LogId, Arc<Queue<()>>>>,
    held: Mutex<HashMap<LogId, Arc<Link>>>,
}

impl Turns {
    pub(super) fn new(connector: &Connector) -> Self {
        let ready = || sql::OF_WRITERS.into_iter().chain(sql::OF_TURNS).collect();
        let pool = |name, most| Pool::new(connector, name, most, ready());
        let (tenants, others) = (pool("turn", TENANTS), pool("turn of a list", OTHERS));
        let shared = Shared { tenants, others, queues: Mutex::default(), held: Mutex::default() };
        Self { connector: connector.clone(), shared: Arc::new(shared) }
    }

    /// Waits for a turn. Whoever does not wait any more gives it back as soon as it comes.
    pub(super) async fn take(&self, log: &LogId) -> Result<Box<dyn Turn>, StoreError> {
        let (shared, connector, log) = (self.shared.clone(), self.connector.clone(), log.clone());
        let held = self.connector.runs.run(WAIT, async move { shared.take(connector, log).await }).await?;
        Ok(Box::new(held))
    }

    /// The connection of a turn that this process has.
    pub(super) fn link(&self, log: &LogId) -> Option<Arc<Link>> {
        lock(&self.shared.held).get(log).cloned()
    }
}

impl Shared {
    async fn take(self: Arc<Self>, connector: Connector, log: LogId) -> Result<Held, StoreError> {
        let queue = self.queue(&log).lock_arc().await;
        let pool = if matches!(log, LogId::Tenant(_)) { &self.tenants } else { &self.others };
        let mut taking = Taking { lent: Some(pool.lend().await?) };
        let size = taking.take(&log).await?;
        let lent = taking.lent.take().ok_or_else(|| StoreError::not_written("a turn lost its connection"))?;
        lock(&self.held).insert(log.clone(), lent.link().clone());
        Ok(Held { log, size, of: Some((lent, queue)), shared: self, connector })
    }

    fn queue(&self, log: &LogId) -> Arc<Queue<()>> {
        let mut queues = lock(&self.queues);
        if !queues.contains_key(log) {
            // Those that nobody stands in.
            queues.retain(|_, queue| Arc::strong_count(queue) > 1);
        }
        queues.entry(log.clone()).or_default().clone()
    }
}

/// A lock that is being taken. Where nobody learns what became of it, the session is closed.
struct Taking {
    lent: Option<Lent>,
}

impl Taking {
    async fn take(&mut self, log: &LogId) -> Result<u64, StoreError> {
        let none = || StoreError::not_written("a turn has no connection");
        let link = self.lent.as_ref().ok_or_else(none)?;
        let (client, key, name) = (link.client(), key(log), log.to_string());
        let (lock, size) = (link.statement(sql::LOCK)?, link.statement(sql::SIZE)?);
        let (key, name): ([super::link::Value<'_>; 1], [super::link::Value<'_>; 1]) = ([&key], [&name]);
        // In one round trip; each begins when the one before is done.
        let all = join3(client.query(&lock, &key), client.batch_execute(HELD), client.query(&size, &name));
        let (locked, held, size) = all.await;
        if let Err(error) = locked {
            let refused = error.as_db_error().is_some();
            if refused && client.batch_execute(FREE).await.is_ok() {
                // It waited in vain; the connection is as good as before.
                self.lent = None;
            }
            return Err(undone(error));
        }
        held.map_err(undone)?;
        size.map_err(undone)?.first().map_or(Ok(0), |row| number(row, 0))
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(lent) = &self.lent {
            lent.spoil();
        }
    }
}

/// A turn.
struct Held {
    log: LogId,
    size: u64,
    of: Option<(Lent, MutexGuardArc<()>)>,
    shared: Arc<Shared>,
    connector: Connector,
}

impl Turn for Held {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({} at {})", self.log, self.size)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.shared.held).remove(&self.log);
        let Some((lent, queue)) = self.of.take() else { return };
        let key = key(&self.log);
        self.connector.runs.spawn(async move {
            if unlock(&lent, key).await.is_err() {
                lent.spoil();
            }
            // The next of this process comes when the lock is given back.
            drop(queue);
        });
    }
}

async fn unlock(lent: &Lent, key: i64) -> Result<(), StoreError> {
    let _limit = lent.limit(BRIEF);
    let statement = lent.statement(sql::UNLOCK)?;
    let key: [super::link::Value<'_>; 1] = [&key];
    let (unlocked, free) =
        join(lent.client().query(&statement, &key), lent.client().batch_execute(FREE)).await;
    let was_held = unlocked.map_err(undone)?.first().and_then(|row| row.try_get(0).ok());
    free.map_err(undone)?;
    match was_held {
        Some(true) => Ok(()),
        _ => Err(StoreError::not_written("the lock of a turn was not held")),
    }
}

/// The number of a log's lock.
fn key(log: &LogId) -> i64 {
    number_of("turn", &log.to_string())
}

/// The number of a lock of ours in a database.
pub(super) fn number_of(purpose: &str, name: &str) -> i64 {
    let hash = Sha256::digest(format!("kakunin {purpose} {name}"));
    let first = hash.iter().take(8).fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
    i64::from_be_bytes(first.to_be_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
