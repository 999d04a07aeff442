//! Events are taken in.

use crate::event::Event;
use crate::id::TenantId;
use crate::service::command::need::Need;
use crate::service::command::observe::{Batch, Each, Observed};
use crate::service::effects::running::Kakunin;
use crate::service::error::Error;
use crate::service::limits::MAX_EVENTS;
use crate::time::UnixTime;

/// Who reports is whom this deployment acts as ([`Kakunin::acting_as`]), or else the process itself. Stream
/// numbers and identifiers of one reporter say nothing of another's events.
impl Kakunin {
    /// Records one event, scores it, and revokes if the score says so.
    ///
    /// # Errors
    /// As those of one event in [`Kakunin::observe_all`].
    pub async fn observe(&self, tenant: &TenantId, event: Event) -> Result<Observed, Error> {
        self.observe_all(tenant, vec![event]).await?.pop().ok_or(Error::NotFound("event"))?
    }

    /// Records events in order, scores each, and revokes where a score says so. An event that is refused costs
    /// nothing but itself. On return the others are on disk, with their places in the log.
    ///
    /// Of one event: [`Error::NotFound`] if its serial is not of this tenant's, [`Error::TooManyStreams`],
    /// [`Error::StreamJump`], [`Error::IdReused`], [`Error::NumberReused`]; `storage_full` if there is room for nothing
    /// but what takes an identity away, and this does not.
    ///
    /// # Errors
    /// [`Error::TooManyEvents`], and what the store says; nothing of these events was recorded then.
    pub async fn observe_all(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
    ) -> Result<Vec<Result<Observed, Error>>, Error> {
        self.take_in(tenant, events, None, false).await
    }

    /// As [`Kakunin::observe_all`], but all of them or none.
    ///
    /// # Errors
    /// [`Error::OneOfMany`] names the first that is refused; else as [`Kakunin::observe_all`].
    pub async fn observe_all_or_none(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
    ) -> Result<Vec<Observed>, Error> {
        self.take_in(tenant, events, None, true).await?.into_iter().collect()
    }

    /// As [`Kakunin::observe_all`], with the time of each event: for recorded traces, where the clock of
    /// this process says nothing. Times never go back in a log; an earlier one counts as the last.
    ///
    /// # Errors
    /// As [`Kakunin::observe_all`].
    pub async fn replay(
        &self,
        tenant: &TenantId,
        events: Vec<(UnixTime, Event)>,
    ) -> Result<Vec<Result<Observed, Error>>, Error> {
        let (times, events) = events.into_iter().unzip();
        self.take_in(tenant, events, Some(times), false).await
    }

    async fn take_in(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
        times: Option<Vec<UnixTime>>,
        whole: bool,
    ) -> Result<Each, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let count = events.len();
        if count > MAX_EVENTS {
            return Err(Error::TooManyEvents(count));
        }
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let reporter = self.by.as_ref().map(|by| tenant.tokens.token("reporter", by.as_str()));
        let batch = Batch { reporter, events, times, whole };
        let observed = {
            let need = (count, Need::Events);
            inner.decide_many(&tenant, None, need, move |draft| batch.take(draft)).await?
        };
        Ok(observed)
    }
}
