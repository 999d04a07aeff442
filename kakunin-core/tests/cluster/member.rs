//! A store in memory that several processes share, each by a member of its own: with turns, news of what others appended, and
//! one who is on duty.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use event_listener::Event;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room, Turn};
use kakunin_core::store::duty::Duties;

/// What members share.
#[derive(Debug, Default)]
pub(crate) struct All {
    pub(crate) store: Arc<MemoryStore>,
    turns: Mutex<HashMap<LogId, Arc<async_lock::Mutex<()>>>>,
    news: Mutex<Vec<Arc<News>>>,
    duty: Mutex<Option<usize>>,
    next: Mutex<Option<Next>>,
}

/// What happens after a look at a head.
struct Next(Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Next")
    }
}

#[derive(Debug, Default)]
struct News {
    waiting: Mutex<Vec<(LogId, u64)>>,
    come: Event,
}

/// One process's way to the store.
#[derive(Debug)]
pub(crate) struct Member {
    all: Arc<All>,
    number: usize,
    news: Arc<News>,
    /// Whether nothing gets through.
    pub(crate) cut_off: AtomicBool,
}

#[derive(Debug)]
struct Mine {
    size: u64,
    _held: async_lock::MutexGuardArc<()>,
}

impl Turn for Mine {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }
}

impl All {
    /// Does something once somebody has looked at a head, before that one goes on.
    pub(crate) fn after_the_next_look(&self, act: impl FnOnce() + Send + 'static) {
        *self.next.lock().unwrap() = Some(Next(Box::new(act)));
    }

    /// Whether nobody is in its turn.
    pub(crate) fn is_still(&self) -> bool {
        self.turns.lock().unwrap().values().all(|turn| turn.try_lock().is_some())
    }

    pub(crate) fn join(self: &Arc<Self>) -> Arc<Member> {
        let news = Arc::<News>::default();
        let mut all = self.news.lock().unwrap();
        all.push(news.clone());
        Arc::new(Member { all: self.clone(), number: all.len() - 1, news, cut_off: AtomicBool::new(false) })
    }
}

impl Member {
    fn through(&self) -> Result<(), StoreError> {
        match self.cut_off.load(Ordering::SeqCst) {
            true => Err(StoreError::not_written("cut off")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl AuditSink for Member {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.through()?;
        let grown: Vec<_> = appends.iter().map(|a| (a.log.clone(), a.next.frontier.size())).collect();
        self.all.store.append(appends).await?;
        for (number, news) in self.all.news.lock().unwrap().iter().enumerate() {
            if number != self.number {
                news.waiting.lock().unwrap().extend(grown.iter().cloned());
                news.come.notify(usize::MAX);
            }
        }
        Ok(())
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.through()?;
        let head = self.all.store.head(log).await;
        let next = self.all.next.lock().unwrap().take();
        if let Some(Next(act)) = next {
            act();
        }
        head
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.through()?;
        self.all.store.read(log, from, limit).await
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.all.store.logs().await
    }

    async fn room(&self) -> Room {
        Room::default()
    }

    async fn turn(&self, log: &LogId) -> Result<Box<dyn Turn>, StoreError> {
        self.through()?;
        let lock = self.all.turns.lock().unwrap().entry(log.clone()).or_default().clone();
        let held = lock.lock_arc().await;
        let (head, _) = self.all.store.head(log).await?;
        Ok(Box::new(Mine { size: head.frontier.size(), _held: held }))
    }

    async fn grown(&self) -> Vec<(LogId, u64)> {
        loop {
            let come = self.news.come.listen();
            if !self.cut_off.load(Ordering::SeqCst) {
                let news = std::mem::take(&mut *self.news.waiting.lock().unwrap());
                if !news.is_empty() {
                    return news;
                }
            }
            come.await;
        }
    }
}

#[async_trait]
impl Duties for Member {
    fn is_alone(&self) -> bool {
        false
    }

    async fn on_duty(&self) -> bool {
        let mut duty = self.all.duty.lock().unwrap();
        if self.cut_off.load(Ordering::SeqCst) {
            if *duty == Some(self.number) {
                *duty = None;
            }
            return false;
        }
        *duty.get_or_insert(self.number) == self.number
    }
}
