//! The store.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::clock::PostgresClock;
use super::duty::Duty;
use super::error::undone;
use super::grown::{Notifier, Sizes};
use super::link::{Connector, WRITE};
use super::options::PostgresOptions;
use super::pool::{Lent, Pool};
use super::runs::Runs;
use super::turns::Turns;
use super::values::FirstDay;
use super::writers::Writers;
use super::{check, listen, sql};
use crate::error::StoreError;
use crate::id::{Entropy, IssuerId, SystemEntropy, hex_encode};
use crate::log::entry::LogId;
use crate::month::Month;
use crate::store::levels::Levels;
use crate::time::{Clock, DAY};

/// Reads at once, and views.
const READERS: usize = 8;
const VIEWS: usize = 8;
/// How often partitions are made ahead of time.
const HOURLY: Duration = Duration::from_secs(3_600);

/// A store in a database that several processes share.
///
/// A process has up to 43 connections: 8 that read, 8 for views, 4 that write, 20 for turns, and one each to give notice, to hear
/// it, and for duty. They are opened when they are needed.
pub struct PostgresStore {
    pub(super) connector: Connector,
    pub(super) readers: Arc<Pool>,
    pub(super) views: Arc<Pool>,
    pub(super) writers: Writers,
    pub(super) turns: Turns,
    pub(super) duty: Duty,
    pub(super) sizes: Arc<Sizes>,
    pub(super) notifier: Notifier,
    pub(super) state: Levels<LogId>,
    pub(super) revocations: Levels<IssuerId>,
    /// Whether the last append found no room.
    pub(super) full: AtomicBool,
    clock: Arc<PostgresClock>,
    months: Arc<Months>,
    tasks: Vec<AbortHandle>,
}

impl PostgresStore {
    /// Opens it: once server, login and tables were looked at, and nothing was found that would let what is acknowledged be
    /// lost or changed.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] with all that was found, and what to do about it; [`StoreError::NotWritten`] if the database cannot
    /// be reached.
    pub async fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let connector = Connector { options: options.clone(), runs: Arc::new(Runs::find()?) };
        let readers = Pool::new(&connector, "reader", READERS, Vec::new());
        let views = Pool::new(&connector, "view", VIEWS, Vec::new());
        let first = readers.lend().await?;
        let found = check::findings(&first).await?;
        if !found.is_empty() {
            return Err(StoreError::Foreign(found.join("; ")));
        }
        let clock = PostgresClock::ask(&first).await?;
        drop(first);
        let mut process = [0; 16];
        SystemEntropy.fill(&mut process).map_err(StoreError::not_written)?;
        let (notifier, notices) = Notifier::new(&connector, process);
        let (sizes, months) = (Arc::new(Sizes::default()), Arc::new(Months::default()));
        sizes.begin(listen::sizes(&readers).await?);
        let known = Arc::downgrade(&sizes);
        let listens = listen::listen(connector.clone(), hex_encode(&process), readers.clone(), known.clone());
        let runs = &connector.runs;
        let tasks = vec![
            runs.spawn(notices).abort_handle(),
            runs.spawn(listens).abort_handle(),
            runs.spawn(listen::look(readers.clone(), known)).abort_handle(),
            runs.spawn(clock.clone().keep(readers.clone())).abort_handle(),
            runs.spawn(months.clone().ahead(clock.clone(), readers.clone())).abort_handle(),
        ];
        Ok(Self {
            writers: Writers::new(&connector),
            turns: Turns::new(&connector),
            duty: Duty::new(&connector),
            state: Levels::default(),
            revocations: Levels::default(),
            full: AtomicBool::new(false),
            connector,
            readers,
            views,
            sizes,
            notifier,
            clock,
            months,
            tasks,
        })
    }

    /// The database's clock, by which all processes over it go.
    #[must_use]
    pub fn clock(&self) -> Arc<PostgresClock> {
        self.clock.clone()
    }

    /// Looks again whether server, login and tables are as they have to be: what is wrong, a sentence each. Whoever runs the
    /// store asks now and then, and raises an alarm.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be asked.
    pub async fn check_again(&self) -> Result<Vec<String>, StoreError> {
        check::findings(&*self.readers.lend().await?).await
    }

    /// Which version of PostgreSQL the server is.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be asked.
    pub async fn server(&self) -> Result<String, StoreError> {
        check::version(&*self.readers.lend().await?).await
    }

    /// What could be better, and is no reason not to use the database.
    ///
    /// # Errors
    /// [`StoreError`] if the database cannot be asked.
    pub async fn notes(&self) -> Result<Vec<String>, StoreError> {
        let mut notes = check::notes(&*self.readers.lend().await?).await?;
        if self.connector.options.is_unchecked() {
            notes.push("the server's certificate is not checked: write sslmode=verify-full in the URL of the database".into());
        }
        Ok(notes)
    }

    /// A connection that reads.
    pub(super) async fn reader(&self) -> Result<Lent, StoreError> {
        self.readers.lend().await
    }

    /// Makes sure of the partitions of these months.
    pub(super) async fn make_months(
        &self,
        months: impl Iterator<Item = Month> + Send,
    ) -> Result<(), StoreError> {
        let missing: HashSet<_> = months.filter(|month| !self.months.known().contains(month)).collect();
        for month in missing {
            self.months.make(month, &self.readers).await?;
        }
        Ok(())
    }
}

/// Months whose partitions are there, or cannot be.
#[derive(Debug, Default)]
pub(super) struct Months(Mutex<HashSet<Month>>);

impl Months {
    async fn make(&self, month: Month, readers: &Arc<Pool>) -> Result<(), StoreError> {
        let link = readers.lend().await?;
        link.prepare(&[sql::MAKE_MONTH]).await?;
        let statement = link.statement(sql::MAKE_MONTH)?;
        let _limit = link.limit(WRITE);
        link.client().execute(&statement, &[&FirstDay::of(month)]).await.map_err(undone)?;
        self.known().insert(month);
        Ok(())
    }

    /// Makes this month's and the next, so that nobody waits for that at its beginning.
    fn ahead(self: Arc<Self>, clock: Arc<PostgresClock>, readers: Arc<Pool>) -> impl Future<Output = ()> {
        let clock = Arc::downgrade(&clock);
        async move {
            while let Some(now) = clock.upgrade().map(|clock| clock.now()) {
                for month in [now, now.plus(31 * DAY)].map(Month::of) {
                    // Whoever appends in that month makes it, or hears why not.
                    _ = self.make(month, &readers).await;
                }
                tokio::time::sleep(HOURLY).await;
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Month>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresStore({:?})", self.connector.options)
    }
}
