//! What handlers share.

use std::sync::Arc;

use kakunin_core::id::TenantId;
use kakunin_core::service::Kakunin;
use kakunin_core::time::{Clock, UnixTime};
use tokio::sync::watch;

use super::card::Cards;
use super::error::ApiError;
use super::gateway::Gateway;
use super::limits::Limits;
use super::listings::Listings;
use super::options::ApiOptions;
use super::ready::Ready;
use super::shared::Renderings;
use super::streams::Feeds;

/// The state of the API. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) kakunin: Kakunin,
    pub(crate) options: ApiOptions,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cards: Cards,
    pub(crate) feeds: Feeds,
    pub(crate) listings: Listings,
    pub(crate) renderings: Renderings,
    pub(crate) gateway: Gateway,
    pub(crate) ready: Ready,
}

impl App {
    pub(crate) fn new(
        kakunin: Kakunin,
        clock: Arc<dyn Clock>,
        options: ApiOptions,
        ended: watch::Receiver<bool>,
    ) -> Result<Self, kakunin_verify::SetupError> {
        let gateway = Gateway::new(&kakunin, &options, clock.now())?;
        let limits = Limits::new(options.key_rate, options.anonymous_rate);
        let room = (options.feed_subscribers, options.feed_subscribers_per_address);
        let feeds = Feeds::new(kakunin.clone(), room, ended);
        let (cards, ready) = (Cards::default(), Ready::default());
        let (listings, renderings) = (Listings::default(), Renderings::default());
        let inner =
            Inner { kakunin, options, limits, clock, cards, feeds, listings, renderings, gateway, ready };
        Ok(Self(Arc::new(inner)))
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
