//! What all connections share, and how a request is answered over any of them.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use hyper::body::{Body as _, Incoming};
use tower::ServiceExt;

use super::activity::{Activity, Busy};
use super::arriving::{Arriving, Held};
use super::delivery::Delivery;
use super::options::{Patience, ServeOptions};
use super::tls::Reloading;
use crate::http::{
    ApiError, AsItComes, ForAll, GatewayProxy, Network, Peer, check_host, client_address, finished,
    network_of, refused,
};

/// Answers up to this size count for nobody.
const SMALL: u64 = 4 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Listening {
    settings: RwLock<Arc<Settings>>,
    pub(super) tls: Option<Reloading>,
    held: Held,
}

/// What changes with the configuration.
#[derive(Debug)]
pub(super) struct Settings {
    router: Router,
    pub(super) patience: Patience,
    /// Connections of one address.
    pub(super) per_address: usize,
    /// Proxies, whose word about addresses is taken.
    proxies: Vec<Network>,
    /// These and gateways: many others are behind their addresses.
    known: Vec<Network>,
}

impl Listening {
    pub(super) fn new(settings: Settings, tls: Option<Reloading>) -> Self {
        Self { settings: RwLock::new(Arc::new(settings)), tls, held: Held::default() }
    }

    pub(super) fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Settings {
    pub(super) fn of(options: &ServeOptions, router: Router) -> Self {
        let api = &options.api;
        let gateways = api.gateways.iter().map(GatewayProxy::network);
        Self {
            router,
            patience: options.patience,
            per_address: options.connections_per_address,
            proxies: api.trusted_proxies.clone(),
            known: api.trusted_proxies.iter().copied().chain(gateways).collect(),
        }
    }

    pub(super) fn is_known(&self, address: IpAddr) -> bool {
        self.known.iter().any(|network| network.contains(address))
    }
}

impl Listening {
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        activity: Arc<Activity>,
    ) -> Result<Response<Delivery>, std::convert::Infallible> {
        let busy = activity.begin(request.version());
        let (mut parts, body) = request.into_parts();
        if let Err(refusal) = check_host(&parts) {
            return Ok(refused(&refusal).map(|body| Delivery::new(body, busy, None)));
        }
        parts.extensions.insert(peer);
        let settings = self.settings();
        let client = client_address(&parts, &settings.proxies);
        // What a proxy or gateway asks for itself is for many.
        let client = (!settings.is_known(client)).then(|| network_of(client));
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            let mut arriving = self.held.share(client);
            if !arriving.grow(head_len(&parts.headers)) {
                return Ok(crowded(busy));
            }
            let as_it_comes = AsItComes::default();
            parts.extensions.insert(as_it_comes.clone());
            Body::new(Arriving::new(body, settings.patience.stall, (arriving, as_it_comes)))
        };
        let method = parts.method.clone();
        let response = match settings.router.clone().oneshot(Request::from_parts(parts, body)).await {
            Ok(response) => finished(&method, response),
            Err(never) => match never {},
        };
        let size = response.body().size_hint().lower();
        let mut share = None;
        if size > SMALL && response.extensions().get::<ForAll>().is_none() {
            let mut own = self.held.share(client);
            if !own.grow(usize::try_from(size).unwrap_or(usize::MAX)) {
                return Ok(crowded(busy));
            }
            share = Some(own);
        }
        Ok(response.map(|body| Delivery::new(body, busy, share)))
    }
}

fn crowded(busy: Busy) -> Response<Delivery> {
    let refusal =
        ApiError::busy("bodies_crowded", "too many bodies are on their way, or wait to be taken", 5);
    refused(&refusal).map(|body| Delivery::new(body, busy, None))
}

/// Octets that a head takes in memory, about.
fn head_len(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}
