//! What handlers share.

use std::sync::Arc;

use kakunin_core::id::TenantId;
use kakunin_core::service::Kakunin;
use kakunin_core::time::{Clock, UnixTime};
use kakunin_verify::possession::AuthorityError;
use tokio::sync::watch;

use super::card::Cards;
use super::error::ApiError;
use super::gateway::Gateway;
use super::inboxes::Inboxes;
use super::ingests::Ingests;
use super::limits::Limits;
use super::listings::Listings;
use super::options::ApiOptions;
use super::ready::Ready;
use super::shared::Renderings;
use super::streams::Feeds;
use super::surroundings::Surroundings;

/// The state of the API. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Inner>);

/// What changes with the configuration, and what lasts, which is shared by those before and after.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: ApiOptions,
    pub(crate) limits: Arc<Limits>,
    pub(crate) gateway: Gateway,
    pub(crate) kakunin: Kakunin,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cards: Arc<Cards>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) inboxes: Arc<Inboxes>,
    pub(crate) ingests: Arc<Ingests>,
    pub(crate) listings: Arc<Listings>,
    pub(crate) renderings: Arc<Renderings>,
    pub(crate) ready: Arc<Ready>,
    pub(crate) surroundings: Arc<Surroundings>,
}

impl App {
    pub(crate) fn new(
        kakunin: Kakunin,
        clock: Arc<dyn Clock>,
        options: ApiOptions,
        ended: watch::Receiver<bool>,
    ) -> Result<Self, kakunin_verify::SetupError> {
        let gateway = Gateway::new(&kakunin, &options, clock.now())?;
        let room = (options.feed_subscribers, options.feed_subscribers_per_address);
        Ok(Self(Arc::new(Inner {
            limits: Arc::new(Limits::new(options.key_rate, options.anonymous_rate)),
            options,
            gateway,
            clock,
            cards: Arc::default(),
            feeds: Arc::new(Feeds::new(kakunin.clone(), room, ended.clone())),
            inboxes: Arc::new(Inboxes::new(ended.clone())),
            ingests: Arc::new(Ingests::new(ended)),
            kakunin,
            listings: Arc::default(),
            renderings: Arc::default(),
            ready: Arc::default(),
            surroundings: Arc::default(),
        })))
    }

    /// The same API with other options. The room for subscribers stays, and so do limits whose rates do.
    pub(crate) fn reconfigured(&self, options: ApiOptions) -> Result<Self, AuthorityError> {
        let rates = |options: &ApiOptions| (options.key_rate, options.anonymous_rate);
        let limits = if rates(&options) == rates(&self.options) {
            self.limits.clone()
        } else {
            Arc::new(Limits::new(options.key_rate, options.anonymous_rate))
        };
        Ok(Self(Arc::new(Inner {
            gateway: self.gateway.reconfigured(&self.kakunin, &options)?,
            options,
            limits,
            kakunin: self.kakunin.clone(),
            clock: self.clock.clone(),
            cards: self.cards.clone(),
            feeds: self.feeds.clone(),
            inboxes: self.inboxes.clone(),
            ingests: self.ingests.clone(),
            listings: self.listings.clone(),
            renderings: self.renderings.clone(),
            ready: self.ready.clone(),
            surroundings: self.surroundings.clone(),
        })))
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }

    /// Runs a list or search of this tenant, apart from all else.
    pub(crate) async fn listing<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.listings.run(tenant, work).await
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
