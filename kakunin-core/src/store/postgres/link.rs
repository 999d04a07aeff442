//! One connection, and the statements it has prepared.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_lock::{Mutex as Turnstile, MutexGuard as TurnstileGuard};
use futures_util::future::try_join_all;
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::error::{undone, unread};
use super::options::PostgresOptions;
use super::runs::Runs;
use crate::error::StoreError;

/// How long connecting and preparing may take.
const CONNECT: Duration = Duration::from_secs(8);

/// How long the answer to a read is waited for: the server gives up before.
const READ: Duration = Duration::from_secs(12);
/// How long the answer to something that writes is waited for: after that nobody knows whether it was written.
pub(super) const WRITE: Duration = Duration::from_secs(12);
/// The same of what takes no time.
pub(super) const BRIEF: Duration = Duration::from_secs(5);

/// Limits that the server keeps for us, whatever becomes of this process. `lock_timeout` is how long a turn is waited for.
const LIMITS: &str = "-c statement_timeout=10s -c lock_timeout=3s -c idle_in_transaction_session_timeout=2s \
    -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=10000 \
    -c client_min_messages=error -c search_path=pg_catalog -c bytea_output=hex";

/// What a parameter of a statement is given as.
pub(super) type Value<'a> = &'a (dyn ToSql + Sync);

/// One connection.
pub(super) struct Link {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    driver: AbortHandle,
    spoilt: Arc<AtomicBool>,
    next: Turnstile<()>,
    runs: Arc<Runs>,
    /// How many connections had been given up for their silence when this one was opened.
    born: u64,
}

/// Closes a connection that does not answer, unless it is dropped before.
#[derive(Debug)]
pub(super) struct Limit(AbortHandle);

impl Drop for Limit {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Opens connections.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) options: PostgresOptions,
    pub(super) runs: Arc<Runs>,
}

impl Connector {
    /// Opens a connection that has these statements ready. It is certain that nothing was written if that fails.
    pub(super) async fn open(&self, name: &str, ready: &[&'static str]) -> Result<Link, StoreError> {
        self.open_with(name, ready, "").await
    }

    /// The same, with settings of the server's for this session beside those that all have.
    pub(super) async fn open_with(
        &self,
        name: &str,
        ready: &[&'static str],
        settings: &str,
    ) -> Result<Link, StoreError> {
        let config = self.options.config(name, &format!("{LIMITS} {settings}"));
        let (tls, ready, runs) = (self.options.tls(), ready.to_vec(), self.runs.clone());
        let open = async move {
            let born = runs.silenced();
            let (client, connection) = config.connect(tls).await.map_err(undone)?;
            let driver = runs.spawn(async move { _ = connection.await }).abort_handle();
            let (statements, spoilt, next) = (Mutex::default(), Arc::default(), Turnstile::new(()));
            let link = Link { client, statements, driver, spoilt, next, runs, born };
            link.prepare(&ready).await?;
            Ok(link)
        };
        self.runs.run(CONNECT, open).await
    }
}

impl Link {
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// Whether nothing can be sent over it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.spoilt.load(Ordering::Relaxed)
    }

    /// Whether a connection that was open at the same time was given up for its silence: it may say nothing either.
    pub(super) fn is_doubtful(&self) -> bool {
        self.born < self.runs.silenced()
    }

    /// Closes it, and with it what it was in the middle of.
    pub(super) fn spoil(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
        self.driver.abort();
    }

    /// Closes it after so long, unless what this gives is dropped before: whoever waits for an answer hears that none comes.
    /// What is between may keep a connection whose other end is gone, and take whatever is sent over it.
    pub(super) fn limit(&self, limit: Duration) -> Limit {
        let (driver, spoilt, runs) = (self.driver.clone(), self.spoilt.clone(), Arc::downgrade(&self.runs));
        let closes = async move {
            tokio::time::sleep(limit).await;
            spoilt.store(true, Ordering::Relaxed);
            if let Some(runs) = runs.upgrade() {
                runs.silence();
            }
            driver.abort();
        };
        Limit(self.runs.spawn(closes).abort_handle())
    }

    /// The right to be the next who sends something over it, for those that share it and come in order.
    pub(super) async fn next(&self) -> TurnstileGuard<'_, ()> {
        self.next.lock().await
    }

    /// Prepares what is not yet prepared, all at once.
    pub(super) async fn prepare(&self, statements: &[&'static str]) -> Result<(), StoreError> {
        let missing: Vec<_> = {
            let known = self.statements();
            statements.iter().copied().filter(|sql| !known.contains_key(sql)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let _limit = self.limit(BRIEF);
        let prepared =
            try_join_all(missing.iter().map(|sql| self.client.prepare(sql))).await.map_err(undone)?;
        self.statements().extend(missing.into_iter().zip(prepared));
        Ok(())
    }

    /// A statement that was prepared.
    pub(super) fn statement(&self, sql: &'static str) -> Result<Statement, StoreError> {
        let unknown = || StoreError::not_written("a statement was not prepared");
        self.statements().get(sql).cloned().ok_or_else(unknown)
    }

    /// Reads.
    pub(super) async fn query(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let _limit = self.limit(READ);
        self.prepare(&[sql]).await?;
        self.client.query(&self.statement(sql)?, values).await.map_err(unread)
    }

    /// Reads one row, if there is one.
    pub(super) async fn query_one(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, values).await?.pop())
    }

    fn statements(&self) -> MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_closed() { "Link(closed)" } else { "Link" })
    }
}
