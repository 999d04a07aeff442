//! What handlers share.

use std::num::NonZeroU32;
use std::sync::Arc;

use kakunin_core::service::Kakunin;
use kakunin_core::time::{Clock, UnixTime};
use kakunin_verify::possession::{Authority, AuthorityError};
use tokio::sync::watch;

use super::gateway::GatewayProxy;
use super::limits::{DEFAULT_ANONYMOUS_RATE, DEFAULT_KEY_RATE, Limits};
use super::listings::Listings;
use super::peer::Network;
use super::shared::Renderings;
use super::streams::Feeds;
use super::surroundings::Surroundings;
use super::verify::Cards;

/// Subscribers of the revocation feed at once, unless configured otherwise.
pub const DEFAULT_FEED_SUBSCRIBERS: usize = 1_000;

/// Subscribers from one address, unless configured otherwise.
pub const DEFAULT_FEED_PER_ADDRESS: usize = 100;

/// How the API behaves, beyond what the deployment decides.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Proxies whose word about the addresses of clients is taken, and about nothing else.
    pub trusted_proxies: Vec<Network>,
    /// Gateways that ask for those who connect to them, and how they hand over certificates.
    pub gateways: Vec<GatewayProxy>,
    /// Names under which agents reach this server, beside the public URL's: for whom signed requests may be.
    pub authorities: Vec<Authority>,
    /// Whether no process served this deployment before: then what is signed in the second in which this one starts was
    /// not used up by one that is gone.
    pub new_deployment: bool,
    /// Whether the gateway check takes a bare serial number for an identity, which proves nothing.
    pub insecure_serial_only: bool,
    /// Requests a second of one key.
    pub key_rate: NonZeroU32,
    /// Requests a second of one address (IPv6: /64) for what takes no account. What costs more than a look-up
    /// has a limit of its own, a part of it.
    pub anonymous_rate: NonZeroU32,
    /// Subscribers of the revocation feed at once.
    pub feed_subscribers: usize,
    /// Of these, how many from one address (IPv6: /64) that shows no API key.
    pub feed_subscribers_per_address: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            gateways: Vec::new(),
            authorities: Vec::new(),
            new_deployment: false,
            insecure_serial_only: false,
            key_rate: DEFAULT_KEY_RATE,
            anonymous_rate: DEFAULT_ANONYMOUS_RATE,
            feed_subscribers: DEFAULT_FEED_SUBSCRIBERS,
            feed_subscribers_per_address: DEFAULT_FEED_PER_ADDRESS,
        }
    }
}

/// The state of the API. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Inner>);

/// What changes with the configuration, and what lasts, which is shared by those before and after.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) options: ApiOptions,
    pub(crate) limits: Arc<Limits>,
    pub(crate) gateway: super::gateway::Gateway,
    pub(crate) kakunin: Kakunin,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) cards: Arc<Cards>,
    pub(crate) feeds: Arc<Feeds>,
    pub(crate) listings: Arc<Listings>,
    pub(crate) renderings: Arc<Renderings>,
    pub(crate) ready: Arc<super::health::Ready>,
    pub(crate) surroundings: Arc<Surroundings>,
}

impl App {
    pub(crate) fn new(
        kakunin: Kakunin,
        clock: Arc<dyn Clock>,
        options: ApiOptions,
        ended: watch::Receiver<bool>,
    ) -> Result<Self, kakunin_verify::SetupError> {
        let gateway = super::gateway::Gateway::new(&kakunin, &options, clock.now())?;
        let room = (options.feed_subscribers, options.feed_subscribers_per_address);
        Ok(Self(Arc::new(Inner {
            limits: Arc::new(Limits::new(options.key_rate, options.anonymous_rate)),
            options,
            gateway,
            clock,
            cards: Arc::default(),
            feeds: Arc::new(Feeds::new(kakunin.clone(), room, ended)),
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
            listings: self.listings.clone(),
            renderings: self.renderings.clone(),
            ready: self.ready.clone(),
            surroundings: self.surroundings.clone(),
        })))
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
