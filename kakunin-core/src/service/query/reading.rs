//! The log as its owner reads it: entries, records newest first, checkpoints.

use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::log::record::{Body, Record};
use crate::service::effects::running::{Kakunin, Running};
use crate::service::effects::tenant::Tenant;
use crate::service::engine::system;
use crate::service::error::Error;
use crate::store::state::Kind;

/// Most records looked at for one page: a filter that fits little ends early, with a cursor.
const MAX_SCAN: u64 = 2_048;
/// Records read at once, at the most.
const STEP: u64 = 512;

/// A record with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Index in the tenant's log.
    pub index: u64,
    /// The entry as it is stored.
    pub entry: Entry,
    /// What it says.
    pub record: Record,
    /// Of an event whose payload was erased: index of the record that says so.
    pub erased: Option<u64>,
}

/// Part of a log, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Records, newest first.
    pub items: Vec<Recorded>,
    /// Indices between them, newest first, whose records are gone or not what was written: nobody can say whether
    /// they were wanted.
    pub damaged: Vec<u64>,
    /// Where the next page begins; `None` at the beginning of the log.
    pub next: Option<u64>,
}

impl Running {
    /// `count` entries from `from` on, an empty one where there is none.
    async fn read_all(&self, log: &LogId, from: u64, count: usize) -> Result<Vec<Entry>, StoreError> {
        let sink = &self.parts.sink;
        match sink.read(log, from, count).await {
            Ok(entries) if entries.len() == count => return Ok(entries),
            Ok(_) | Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
        let mut entries = Vec::with_capacity(count);
        for index in (from..).take(count) {
            let entry = sink.read(log, index, 1).await.ok().and_then(|mut one| one.pop());
            entries.push(entry.unwrap_or(Entry { leaf: Vec::new(), payload: None }));
        }
        Ok(entries)
    }
}

impl Running {
    /// Which record erased the payload of this one. One that is gone although none did is damage.
    fn erased(&self, log: &LogId, index: u64, record: &Record) -> Option<u64> {
        let (Body::Event(_, None), Some(agent)) = (&record.body, &record.agent) else { return None };
        let erased = self.payloads.erased(log, (index, record.time), agent);
        if erased.is_none() {
            self.damages.note(format!("the payload of record {index} of log {log} is gone, or its key in the vault is, and no record says that it was erased"));
        }
        erased
    }
}

impl Kakunin {
    /// Up to `limit` entries of any log from index `from`, their payloads decrypted, but those that were erased: for who
    /// operates the deployment. What a store itself gives is encrypted.
    ///
    /// # Errors
    /// What store and vault say.
    pub async fn read_log(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        Ok(self.inner.parts.sink.read(log, from, limit).await?)
    }

    /// The rows of one table of a log's state, decrypted, each with the MAC that it may carry at its end: for who operates the
    /// deployment. What a store itself gives is encrypted where it holds names.
    ///
    /// # Errors
    /// What the store says.
    pub async fn read_rows(&self, log: &LogId, kind: Kind) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
        Ok(system::scan(&self.inner.parts, log, kind).await?)
    }

    /// Stores the risk histories of every tenant in use, so that the next start replays little.
    ///
    /// # Errors
    /// What the store says.
    pub async fn snapshot(&self) -> Result<(), Error> {
        for tenant in self.inner.loaded_tenants().await {
            self.inner.snapshot(&tenant).await?;
        }
        Ok(())
    }
}

impl Tenant {
    /// Up to `limit` records below index `before` that `wanted` takes, newest first. At most 2,048 are looked at, so
    /// a page may be short, or empty, although more follow: [`Page::next`] says whether. Reads what is durable, and
    /// waits for nobody who decides.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn records(
        &self,
        before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Page, Error> {
        let log = self.log_of().await?;
        let size = self.inner.parts.sink.head(&log).await?.0.frontier.size();
        let mut end = before.unwrap_or(size).min(size);
        let stop = end.saturating_sub(MAX_SCAN);
        let (mut items, mut damaged) = (Vec::new(), Vec::new());
        // One more than asked for says whether more follow; a filter that fits little takes longer steps.
        let mut step = u64::try_from(limit).unwrap_or(STEP).saturating_add(1).min(STEP);
        while end > stop {
            let from = end.saturating_sub(step).max(stop);
            step = (step * 4).min(STEP);
            let count = usize::try_from(end - from).unwrap_or(usize::MAX);
            let entries = self.inner.read_all(&log, from, count).await?;
            for (index, entry) in (from..end).rev().zip(entries.into_iter().rev()) {
                let opened = Record::open(&entry);
                if opened.as_ref().is_ok_and(|record| !wanted(record)) {
                    continue;
                }
                if items.len() + damaged.len() == limit {
                    return Ok(Page { items, damaged, next: Some(index + 1) });
                }
                // It does not hide the others.
                let Ok(record) = opened else {
                    self.inner
                        .damages
                        .note(format!("record {index} of log {log} is gone, or not what was written"));
                    damaged.push(index);
                    continue;
                };
                let erased = self.inner.erased(&log, index, &record);
                items.push(Recorded { index, entry, record, erased });
            }
            end = from;
        }
        Ok(Page { items, damaged, next: (end > 0).then_some(end) })
    }

    /// The signed checkpoint over a tenant's log, `None` while it is empty.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn checkpoint(&self) -> Result<Option<String>, Error> {
        Ok(self.inner.parts.sink.head(&self.log_of().await?).await?.1)
    }

    /// The verifier key of a tenant's log: `name+hash+key`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn log_verifier(&self) -> Result<String, Error> {
        Ok(self.inner.log_key(&self.log_of().await?)?.to_string())
    }

    async fn log_of(&self) -> Result<LogId, Error> {
        Ok(LogId::Tenant(self.inner.tenant(&self.id).await?.id.clone()))
    }

    /// Up to `limit` entries of a tenant's log from index `from`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn entries(&self, from: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        Ok(self.inner.parts.sink.read(&self.log_of().await?, from, limit).await?)
    }
}
