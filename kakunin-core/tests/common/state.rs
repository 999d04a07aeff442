//! State that a test has a hand in.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::LogId;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind, StateStore, StateView, Touched};

use super::sink::Does;

type Done = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done before a look whether somebody wrote.
#[derive(Clone, Default)]
struct Look(Option<Arc<dyn Fn() -> Done + Send + Sync>>);

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// State in a hand.
#[derive(Debug)]
pub struct State {
    pub store: Arc<MemoryStore>,
    /// What it does with what follows from a log.
    applies: Mutex<Does>,
    /// What it does with what is put under a seal, and how often it does that well before.
    puts: Mutex<(u32, Does)>,
    /// What becomes of a look at all rows.
    views: Mutex<Does>,
    look: Mutex<Look>,
}

/// A look that never ends.
#[derive(Debug)]
struct Endless(Box<dyn StateView>);

#[async_trait]
impl StateView for Endless {
    fn applied(&self) -> u64 {
        self.0.applied()
    }
    async fn scan(
        &mut self,
        _: Kind,
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        std::future::pending().await
    }
}

impl State {
    pub fn well() -> Arc<Self> {
        let (applies, puts) = (Mutex::new(Does::Well), Mutex::new((0, Does::Well)));
        let views = Mutex::new(Does::Well);
        Arc::new(Self { store: Arc::new(MemoryStore::new()), applies, puts, views, look: Mutex::default() })
    }

    /// Does this before each look whether somebody wrote.
    pub fn before_a_look(&self, does: impl Fn() -> Done + Send + Sync + 'static) {
        self.look.lock().unwrap().0 = Some(Arc::new(does));
    }

    /// As after a crash between append and projection.
    pub fn applies(&self, what: Does) {
        *self.applies.lock().unwrap() = what;
    }

    pub fn views(&self, what: Does) {
        *self.views.lock().unwrap() = what;
    }

    /// From then on, after so many steps.
    pub fn puts(&self, steps: u32, what: Does) {
        *self.puts.lock().unwrap() = (steps, what);
    }

    fn next_put(&self, changes: &[Change]) -> Does {
        let (steps, what) = &mut *self.puts.lock().unwrap();
        if changes.iter().all(|change| change.kind != Kind::Seal) {
            return Does::Well;
        }
        let does = if *steps == 0 { *what } else { Does::Well };
        *steps = steps.saturating_sub(1);
        does
    }
}

async fn written(
    does: Does,
    write: impl Future<Output = Result<(), StoreError>> + Send,
) -> Result<(), StoreError> {
    match does {
        Does::Well => write.await,
        Does::Full | Does::Scarce => Err(StoreError::Full),
        Does::Gone => Err(StoreError::unavailable("gone")),
        Does::Lost => write.await.and(Err(StoreError::unavailable("gone"))),
        Does::Silent | Does::Waits => std::future::pending().await,
    }
}

#[async_trait]
impl StateStore for State {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        let does = *self.applies.lock().unwrap();
        written(does, StateStore::apply(&*self.store, log, index, changes)).await
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        StateStore::applied(&*self.store, log).await
    }
    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        self.store.swap(log, expected, change).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        written(self.next_put(changes), self.store.put(log, changes)).await
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(log, kind, key).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.store.scan(log, kind, after, limit).await
    }
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        let view = self.store.view(log).await?;
        let silent = matches!(*self.views.lock().unwrap(), Does::Silent);
        Ok(if silent { Box::new(Endless(view)) } else { view })
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        let look = self.look.lock().unwrap().clone();
        if let Some(does) = look.0 {
            does().await;
        }
        self.store.touched().await
    }
}
