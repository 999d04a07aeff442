//! Taking events in.

use super::draft::{Draft, EventStatus, Observed};
use super::error::Error;
use super::{Kakunin, MAX_EVENTS};
use crate::event::Event;
use crate::id::{AgentId, TenantId};
use crate::time::UnixTime;

impl Kakunin {
    /// Records one event, scores it, and revokes if the score says so.
    ///
    /// # Errors
    /// As [`Kakunin::observe_all`].
    pub async fn observe(&self, tenant: &TenantId, event: Event) -> Result<Observed, Error> {
        self.observe_all(tenant, vec![event]).await?.pop().ok_or(Error::NotFound("event"))
    }

    /// Records events in order, scores each, and revokes where a score says so. All of them, or none.
    /// On return they are on disk, with their places in the log.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a serial is not of this tenant's, [`Error::TooManyEvents`], and what the
    /// store says; nothing of these events was recorded then.
    pub async fn observe_all(&self, tenant: &TenantId, events: Vec<Event>) -> Result<Vec<Observed>, Error> {
        self.take_in(tenant, events, None).await
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
    ) -> Result<Vec<Observed>, Error> {
        let (times, events) = events.into_iter().unzip();
        self.take_in(tenant, events, Some(times)).await
    }

    async fn take_in(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
        times: Option<Vec<UnixTime>>,
    ) -> Result<Vec<Observed>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let count = events.len();
        if count > MAX_EVENTS {
            return Err(Error::TooManyEvents(count));
        }
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let take = move |draft: &mut Draft<'_>| take(draft, events, times);
        let observed = inner.decide_many(&tenant, None, count, take).await?;
        if observed.iter().any(|o| o.revoked && o.status == EventStatus::Scored) {
            // What fails stays in the store and is tried again with the next decision or start.
            inner.run_key_tasks(&tenant).await;
        }
        Ok(observed)
    }
}

/// Takes one caller's events into the draft.
fn take(
    draft: &mut Draft<'_>,
    events: Vec<Event>,
    times: Option<Vec<UnixTime>>,
) -> Result<Vec<Observed>, Error> {
    let subjects = subjects(draft, &events)?;
    let mut times = times.unwrap_or_default().into_iter();
    let each = subjects.into_iter().zip(events).map(|(agent, event)| {
        if let Some(recorded) = times.next() {
            draft.time = recorded.max(draft.time);
            draft.now = draft.time;
        }
        Ok(draft.observe(agent, event)?)
    });
    each.collect()
}

/// The agents of a caller's events, if every one is known and has room for its stream.
fn subjects(draft: &Draft<'_>, events: &[Event]) -> Result<Vec<AgentId>, Error> {
    events
        .iter()
        .map(|event| {
            let agent = draft.agent_of(&event.serial).ok_or(Error::NotFound("certificate"))?;
            let entry = draft.agent(&agent);
            let room = event.stream.is_none_or(|s| entry.is_some_and(|e| e.seen.has_room(s.stream)));
            if room { Ok(agent) } else { Err(Error::TooManyStreams) }
        })
        .collect()
}
