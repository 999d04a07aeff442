//! Who runs connections: the tokio runtime of whoever opens the store, or a small one of its own.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::StoreError;

/// Runs tasks. Whoever waits for one may do so on any executor.
#[derive(Debug)]
pub(super) struct Runs {
    handle: Handle,
    /// How many connections were given up for their silence.
    silenced: AtomicU64,
    /// Dropping it ends a runtime of our own.
    _own: Option<oneshot::Sender<()>>,
}

impl Runs {
    pub(super) fn find() -> Result<Self, StoreError> {
        if let Ok(handle) = Handle::try_current() {
            return Ok(Self { handle, silenced: AtomicU64::new(0), _own: None });
        }
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StoreError::not_written)?;
        let (handle, (own, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
        // It is dropped by its own thread, which may wait for it.
        let thread = std::thread::Builder::new().name("kakunin-postgres".into());
        thread.spawn(move || _ = runtime.block_on(ended)).map_err(StoreError::not_written)?;
        Ok(Self { handle, silenced: AtomicU64::new(0), _own: Some(own) })
    }

    /// A connection was given up for its silence.
    pub(super) fn silence(&self) {
        self.silenced.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn silenced(&self) -> u64 {
        self.silenced.load(Ordering::Relaxed)
    }

    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(task)
    }

    /// Runs a task that changes nothing, for so long at most. Who does not wait for it any more leaves it to its end.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        task: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let timed = async move {
            let late = |_| StoreError::not_written("the database does not answer in time");
            tokio::time::timeout(limit, task).await.map_err(late)?
        };
        self.spawn(timed).await.map_err(StoreError::not_written)?
    }
}
