//! The log as its owner reads it: entries, records in either order, checkpoints.

use super::filling::Filling;
use super::filter::RecordFilter;
use super::finding::{Finder, Stretch};
use super::page::{Page, ReadFrom};
use crate::log::entry::{Entry, LogId};
use crate::log::record::{Body, Record};
use crate::service::effects::running::{Kakunin, Running};
use crate::service::effects::tenant::Tenant;
use crate::service::engine::scan::scan;
use crate::service::error::Error;
use crate::store::state::Kind;

impl Running {
    /// Which record erased the payload of this one. One that is gone although none did is damage.
    pub(super) fn erased(&self, log: &LogId, index: u64, record: &Record) -> Option<u64> {
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
        Ok(scan(&self.inner.parts, log, kind).await?)
    }
}

impl Tenant {
    /// [`Tenant::find`] without a filter, newest first, below index `before`.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn records(
        &self,
        before: Option<u64>,
        limit: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Page, Error> {
        let from = before.map_or(ReadFrom::End, ReadFrom::Before);
        self.find(&RecordFilter::default(), from, limit, wanted).await
    }

    /// Up to `limit` records that `filter` takes, and `wanted` too. Reads what is durable, and waits for nobody who decides.
    ///
    /// What the filter says is found by an index, wherever it is, and that there is none. The index follows the log; what it
    /// has yet to reach is looked at, 8,192 records for one page at the most, and 2,048 are opened for `wanted`. So a page may
    /// be short, or empty, although more follow: [`Page::next`] says whether.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn find(
        &self,
        filter: &RecordFilter,
        from: ReadFrom,
        limit: usize,
        wanted: impl Fn(&Record) -> bool,
    ) -> Result<Page, Error> {
        let (inner, log) = (&*self.inner, &self.log_of().await?);
        let size = inner.parts.sink.head(log).await?.0.frontier.size();
        let (range, newest_first) = match from {
            ReadFrom::End => (0..size, true),
            ReadFrom::Before(place) => (0..place.min(size), true),
            ReadFrom::After(place) => (place.min(size)..size, false),
        };
        let range = inner.recorded_between(log, range, (filter.since, filter.until)).await?;
        let reached = if newest_first { range.start } else { range.end };
        loop {
            let mut finder = Finder::over(inner, log, filter, (range.clone(), newest_first)).await?;
            let mut filling = Filling::of((inner, log), (filter, &wanted), (limit, newest_first));
            while let Some(stretch) = finder.next().await? {
                let full = match stretch {
                    Stretch::All(range) => filling.look(range).await?,
                    Stretch::Some(indices) => filling.open(&indices).await?,
                };
                if full {
                    break;
                }
            }
            if !finder.is_void().await? {
                let reached = filling.page.next.unwrap_or(reached);
                return Ok(Page { reached, ..filling.page });
            }
        }
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

    pub(super) async fn log_of(&self) -> Result<LogId, Error> {
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
