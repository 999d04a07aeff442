//! Connections in store: each is lent to one at a time, and given back.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_lock::{Semaphore, SemaphoreGuardArc};

use super::link::{Connector, Link};
use crate::error::StoreError;

/// Connections of one purpose.
pub(super) struct Pool {
    connector: Connector,
    name: &'static str,
    ready: Vec<&'static str>,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Link>>>,
}

/// A connection that is lent. Dropping it gives it back, unless it is closed.
#[derive(Debug)]
pub(super) struct Lent {
    link: Arc<Link>,
    pool: Arc<Pool>,
    _place: SemaphoreGuardArc,
}

impl Pool {
    /// So many at most, with these statements ready.
    pub(super) fn new(
        connector: &Connector,
        name: &'static str,
        most: usize,
        ready: Vec<&'static str>,
    ) -> Arc<Self> {
        let (connector, places) = (connector.clone(), Arc::new(Semaphore::new(most)));
        Arc::new(Self { connector, name, ready, places, idle: Mutex::default() })
    }

    /// Waits for a connection, and opens one if none is idle.
    pub(super) async fn lend(self: &Arc<Self>) -> Result<Lent, StoreError> {
        let place = self.places.acquire_arc().await;
        let idle = {
            let mut idle = self.idle();
            // What is between may be gone for all of them: it is not found out for each again.
            idle.retain(|link| !link.is_closed() && !link.is_doubtful());
            idle.pop()
        };
        let link = match idle {
            Some(link) => link,
            None => Arc::new(self.connector.open(self.name, &self.ready).await?),
        };
        Ok(Lent { link, pool: self.clone(), _place: place })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent {
    pub(super) const fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Deref for Lent {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.link.is_closed() && !self.link.is_doubtful() {
            self.pool.idle().push(self.link.clone());
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pool({}, {} idle)", self.name, self.idle().len())
    }
}
