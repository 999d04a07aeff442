//! The database's time: all processes over it go by one clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::link::Link;
use super::pool::Pool;
use super::rows::column;
use super::sql;
use crate::error::StoreError;
use crate::time::{Clock, SystemClock, UnixTime};

/// How often it is set.
const EVERY: Duration = Duration::from_secs(5);

/// The time of the database when it was last asked, and what went by since. It is set by no more than an answer proves: half
/// of the time that it took is not known.
#[derive(Debug)]
pub struct PostgresClock {
    began: Instant,
    /// Microseconds from 1970 to when it began.
    offset: AtomicI64,
    /// Milliseconds after it began when it was last set.
    synced: AtomicU64,
}

impl PostgresClock {
    /// Asks the database for the first time.
    pub(super) async fn ask(link: &Link) -> Result<Arc<Self>, StoreError> {
        let clock = Self { began: Instant::now(), offset: AtomicI64::new(0), synced: AtomicU64::new(0) };
        let (offset, _) = clock.measure(link).await?;
        clock.offset.store(offset, Ordering::Relaxed);
        Ok(Arc::new(clock))
    }

    /// Asks again for as long as anybody has the clock.
    pub(super) async fn keep(self: Arc<Self>, readers: Arc<Pool>) {
        let clock = Arc::downgrade(&self);
        drop(self);
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(clock) = clock.upgrade() else { return };
            // An answer that does not come leaves the clock as it goes.
            if let Ok(link) = readers.lend().await {
                _ = clock.set(&link).await;
            }
        }
    }

    async fn set(&self, link: &Link) -> Result<(), StoreError> {
        let (measured, unsure) = self.measure(link).await?;
        let present = self.offset.load(Ordering::Relaxed);
        self.offset.store(present.clamp(measured - unsure, measured + unsure), Ordering::Relaxed);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.synced.store(now, Ordering::Relaxed);
        Ok(())
    }

    /// From 1970 to when it began, and by how much that may be wrong, in microseconds.
    async fn measure(&self, link: &Link) -> Result<(i64, i64), StoreError> {
        link.prepare(&[sql::TIME]).await?;
        let asked = self.since();
        let row = link.query_one(sql::TIME, &[]).await?;
        let answered = self.since();
        let none = || StoreError::unavailable("the database does not say what time it is");
        let millis: i64 = column(&row.ok_or_else(none)?, 0)?;
        let half = (answered - asked) / 2;
        Ok((millis.saturating_mul(1_000) - asked - half, half + 1_000))
    }

    fn since(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// How long ago it was set, in milliseconds.
    #[must_use]
    pub fn age(&self) -> u64 {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        now.saturating_sub(self.synced.load(Ordering::Relaxed))
    }
}

impl Clock for PostgresClock {
    fn now(&self) -> UnixTime {
        let micros = self.offset.load(Ordering::Relaxed).saturating_add(self.since());
        UnixTime::from_millis(u64::try_from(micros / 1_000).unwrap_or_default())
    }

    fn steady(&self) -> u64 {
        SystemClock.steady()
    }
}
