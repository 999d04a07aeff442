//! Connections that write for whoever has no turn: a log's calls go over one of them, so that they come in order.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_lock::{Mutex, MutexGuard};

use super::link::{Connector, Link};
use super::sql;
use crate::error::StoreError;

/// How many there are.
const SLOTS: u64 = 4;

#[derive(Debug)]
pub(super) struct Writers {
    connector: Connector,
    slots: Vec<Mutex<Option<Arc<Link>>>>,
}

/// A connection, and the right to be the next who sends over it.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    pub(super) link: Arc<Link>,
    _next: MutexGuard<'a, Option<Arc<Link>>>,
}

impl Writers {
    pub(super) fn new(connector: &Connector) -> Self {
        let slots = (0..SLOTS).map(|_| Mutex::new(None)).collect();
        Self { connector: connector.clone(), slots }
    }

    /// The connection of a log, or of an issuer.
    pub(super) async fn of(&self, whose: &impl Hash) -> Result<Slot<'_>, StoreError> {
        let mut hasher = DefaultHasher::new();
        whose.hash(&mut hasher);
        let number = usize::try_from(hasher.finish() % SLOTS).unwrap_or_default();
        let none = || StoreError::not_written("there are no connections that write");
        let mut slot = self.slots.get(number).ok_or_else(none)?.lock().await;
        let link = match &*slot {
            Some(link) if !link.is_closed() && !link.is_doubtful() => link.clone(),
            _ => {
                let link = Arc::new(self.connector.open("writer", &sql::OF_WRITERS).await?);
                *slot = Some(link.clone());
                link
            }
        };
        Ok(Slot { link, _next: slot })
    }
}
