//! Events are taken in.

use crate::error::StoreError;
use crate::event::{Event, Name};
use crate::service::command::observe::{Batch, Each, Observed};
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::limits::MAX_EVENTS;
use crate::time::UnixTime;

/// How often a nonce is looked for again when another process was quicker.
const TRIES: u32 = 8;

/// Who reports is whom this deployment acts as ([`Kakunin::acting_as`](crate::service::Kakunin::acting_as)), or else the process itself. Stream
/// numbers and identifiers of one reporter say nothing of another's events.
impl Tenant {
    /// Records one event, scores it, and revokes if the score says so. Whether it was out of scope is read from the
    /// certificate. `kakunin_verify::Guard` makes such events of what it decides.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
    /// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
    /// # let agent = acme.register(spec).await?;
    /// # let key = KeySource::Provider(KeyAlgorithm::P256);
    /// # let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
    /// let serial = issued.facts.serial;
    /// let seen = acme.observe(Event::new(serial, "read:mail".parse()?, Outcome::Ok)).await?;
    /// assert_eq!((seen.status, seen.band), (EventStatus::Scored, Band::Low));
    /// let worse = acme.observe(Event::refused(serial, "delete:vault".parse()?)).await?;
    /// assert!(worse.score > seen.score && !worse.revoked, "one refusal is none too many");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As those of one event in [`Tenant::observe_all`].
    pub async fn observe(&self, event: Event) -> Result<Observed, Error> {
        self.observe_all(vec![event]).await?.pop().ok_or(Error::NotFound("event"))?
    }

    /// As [`Tenant::observe`], of an act that a signature showed to be the agent's: `nonce` is the signature's, and becomes
    /// the event's identifier. It is good once, whoever reports it and whichever process is asked, and remembered for two
    /// minutes, longer than such signatures are good.
    ///
    /// # Errors
    /// [`Error::NonceUsed`], and nothing is recorded; else as [`Tenant::observe`].
    pub async fn observe_once(&self, nonce: Name, mut event: Event) -> Result<Observed, Error> {
        (event.client_id, event.once) = (Some(nonce), true);
        let mut left = TRIES;
        loop {
            match self.decide_all(vec![event.clone()], None, false).await {
                // Another process was quicker, and nothing of this was written: it may be the same signature.
                Err(Error::Store(StoreError::Conflict)) if left > 0 => left -= 1,
                answer => return answer?.pop().ok_or(Error::NotFound("event"))?,
            }
        }
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
    pub async fn observe_all(&self, events: Vec<Event>) -> Result<Vec<Result<Observed, Error>>, Error> {
        self.take_in(events, None, false).await
    }

    /// As [`Tenant::observe_all`], but all of them or none.
    ///
    /// # Errors
    /// [`Error::OneOfMany`] names the first that is refused; else as [`Tenant::observe_all`].
    pub async fn observe_all_or_none(&self, events: Vec<Event>) -> Result<Vec<Observed>, Error> {
        self.take_in(events, None, true).await?.into_iter().collect()
    }

    /// As [`Tenant::observe_all`], with the time of each event: for recorded traces, where the clock of
    /// this process says nothing. Times never go back in a log; an earlier one counts as the last.
    ///
    /// # Errors
    /// As [`Tenant::observe_all`].
    pub async fn replay(
        &self,
        events: Vec<(UnixTime, Event)>,
    ) -> Result<Vec<Result<Observed, Error>>, Error> {
        let (times, events) = events.into_iter().unzip();
        self.take_in(events, Some(times), false).await
    }

    async fn take_in(
        &self,
        mut events: Vec<Event>,
        times: Option<Vec<UnixTime>>,
        whole: bool,
    ) -> Result<Each, Error> {
        // Only whoever saw the signature knows that.
        events.iter_mut().for_each(|event| event.once = false);
        self.decide_all(events, times, whole).await
    }

    async fn decide_all(
        &self,
        mut events: Vec<Event>,
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
        let tenant = inner.tenant(&self.id).await?;
        inner.judge(&tenant, &mut events).await?;
        let reporter = self.by.as_ref().map(|by| tenant.tokens.token("reporter", by.as_str()));
        let batch = Batch { reporter, events, times, whole };
        let mut each = inner.decide(&tenant, None, batch).await?;
        self.as_first_answered(&mut each).await;
        Ok(each)
    }
}
