//! How many streams of events there may be, and when they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kakunin_core::id::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::error::ApiError;
use super::tally::{Share, Tally};

/// Streams of all tenants at once.
const STREAMS: usize = 64;
/// Of these, those of one tenant.
const OF_ONE: usize = 8;
/// When to come back, if there is no place.
pub(super) const RETRY_AFTER: u64 = 5;

/// Says of a body that whoever reads it bounds what waits of it: nobody counts what came, and how fast.
#[derive(Clone, Debug, Default)]
pub(crate) struct AsItComes(Arc<AtomicBool>);

impl AsItComes {
    pub(super) fn say(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_said(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The streams of this server.
#[derive(Debug)]
pub(crate) struct Ingests {
    room: Arc<Semaphore>,
    places: Tally<TenantId>,
    ended: watch::Receiver<bool>,
}

/// The place of one stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    ended: watch::Receiver<bool>,
    _room: (OwnedSemaphorePermit, Share<TenantId>),
}

impl Ingests {
    pub(crate) fn new(ended: watch::Receiver<bool>) -> Self {
        Self { room: Arc::new(Semaphore::new(STREAMS)), places: Tally::default(), ended }
    }

    /// A place for this tenant, if there is one.
    pub(super) fn place(&self, tenant: &TenantId) -> Result<Place, ApiError> {
        let full = |sentence| ApiError::busy("ingest_full", sentence, RETRY_AFTER);
        let mut place = self.places.share(tenant.clone());
        if !place.grow(1, OF_ONE) {
            return Err(full("this tenant has all the streams of events that it may have"));
        }
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| full("this server has all the streams of events that it takes"))?;
        Ok(Place { ended: self.ended.clone(), _room: (room, place) })
    }
}

impl Place {
    /// Once the server ends.
    pub(super) async fn ends(&mut self) {
        if self.ended.wait_for(|ended| *ended).await.is_err() {
            // Nobody is left who could end it.
            std::future::pending::<()>().await;
        }
    }
}
