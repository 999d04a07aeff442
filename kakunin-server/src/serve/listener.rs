//! Connections: accepted, limited, and ended: by themselves when nothing comes, gracefully when the server is told to.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::activity::{Activity, Busy};
use super::arriving::{Arriving, Held};
use super::delivery::{Delivery, Streams};
use super::lingering::Lingering;
use super::options::{Patience, ServeOptions};
use super::patient::Patient;
use super::tls::{LOOK, Reloading};
use crate::http::{
    ApiError, CONNECTIONS_NOT_ACCEPTED, CONNECTIONS_REFUSED, CONNECTIONS_SILENT, FAILURES, ForAll,
    GatewayProxy, Network, Peer, Share, Tally, check_host, client_address, finished, network_of, refused,
};

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
/// File descriptors that are left to everything else.
const OTHER_FILES: usize = 128;
/// How long requests that are under way may take once the server is told to end.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// How long a connection over HTTP/2 may take to end after it was told.
const GOODBYE: Duration = Duration::from_secs(2);
/// Most octets of a request's head.
const MAX_HEAD: usize = 64 * 1024;
/// The same over HTTP/2, where there are many heads at once.
const MAX_HEADER_LIST: u32 = 32 * 1024;
/// Requests at once over one connection.
const MAX_STREAMS: u32 = 32;
/// Streams that were reset, and wait to be forgotten.
const MAX_RESET: usize = 32;
/// What one stream, and one connection, may have sent that was not read yet.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// What one stream may have written that was not sent yet.
const SEND_BUFFER: usize = 64 * 1024;
/// How many times as many connections an IPv6 site has as each of its networks.
const SITE: usize = 4;
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
    patience: Patience,
    /// Connections of one address.
    per_address: usize,
    /// Proxies, whose word about addresses is taken.
    proxies: Vec<Network>,
    /// These and gateways: many others are behind their addresses.
    known: Vec<Network>,
}

pub(super) async fn serve(listener: TcpListener, listening: Arc<Listening>, mut stop: watch::Receiver<bool>) {
    let watcher = tokio::spawn(look_again(listening.clone()));
    let room = Arc::new(Semaphore::new(most_connections()));
    let (places, mut connections) = (Tally::default(), JoinSet::new());
    while !*stop.borrow() {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            // An error means that whoever could stop us is gone.
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => continue,
        };
        let Some((stream, address, permit)) = accepted else { continue };
        let settings = listening.settings();
        let known = settings.is_known(address.ip());
        let place = if known { None } else { place(settings.per_address, &places, address.ip()) };
        if place.is_none() && !known {
            continue;
        }
        let connection = Connection { listening: listening.clone(), address };
        let stop = stop.clone();
        connections.spawn(async move {
            connection.serve(stream, stop).await;
            drop((permit, place));
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        tracing::warn!("some requests did not end in {} s and were cut off", GRACE.as_secs());
    }
    connections.shutdown().await;
    watcher.abort();
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, once there is room for it.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> Option<Accepted> {
    // The semaphore is never closed.
    let permit = room.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => Some((stream, address, permit)),
        // Out of file descriptors, most likely: others must end first.
        Err(error) => {
            if CONNECTIONS_NOT_ACCEPTED.count() {
                tracing::warn!(%error, "connections cannot be accepted");
            }
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// A place among those of its address, if there is one left.
fn place(most: usize, places: &Tally<IpAddr>, address: IpAddr) -> Option<[Share<IpAddr>; 2]> {
    let network = network_of(address);
    let (mut own, mut site) = (places.share(network), places.share(site_of(network)));
    if own.grow(1, most) && site.grow(1, most.saturating_mul(SITE)) {
        return Some([own, site]);
    }
    if CONNECTIONS_REFUSED.count() {
        tracing::warn!(%address, most, "an address has all its connections; see --connections-per-address");
    }
    None
}

/// Who has many IPv6 networks has a /48 of them; its key is no address of a /64. IPv4 is counted once.
fn site_of(network: IpAddr) -> IpAddr {
    match network {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 80 << 80 | 1).into()),
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
    }
}

/// How many connections there may be, so that files are left for the store and the keys. The limit of open files is
/// raised as far as the system lets us.
fn most_connections() -> usize {
    let wanted = u64::try_from(MAX_CONNECTIONS + OTHER_FILES).unwrap_or(u64::MAX);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if current.is_some_and(|current| current < raised) {
        // If that is refused there are fewer connections.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(wanted);
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let most = files.saturating_sub(OTHER_FILES).max(files / 2).clamp(1, MAX_CONNECTIONS);
    if most < MAX_CONNECTIONS {
        tracing::warn!(
            connections = most,
            files,
            "the limit of open files keeps connections below {MAX_CONNECTIONS}"
        );
    }
    most
}

async fn look_again(listening: Arc<Listening>) {
    let Some(tls) = &listening.tls else { return };
    loop {
        sleep(LOOK).await;
        tls.look();
    }
}

impl Listening {
    pub(super) fn new(settings: Settings, tls: Option<Reloading>) -> Self {
        Self { settings: RwLock::new(Arc::new(settings)), tls, held: Held::default() }
    }

    pub(super) fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn settings(&self) -> Arc<Settings> {
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

    fn is_known(&self, address: IpAddr) -> bool {
        self.known.iter().any(|network| network.contains(address))
    }
}

struct Connection {
    listening: Arc<Listening>,
    address: SocketAddr,
}

impl Connection {
    async fn serve(self, stream: TcpStream, mut stop: watch::Receiver<bool>) {
        // Small answers go out at once; a socket that refuses is slower, and works.
        let _ = stream.set_nodelay(true);
        let patience = self.listening.settings().patience;
        let activity = Arc::new(Activity::new(patience));
        let stream = Patient::new(stream, patience.stall, activity.clone());
        let Some(tls) = &self.listening.tls else {
            return self.speak(stream, None, (patience, activity), stop).await;
        };
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.config());
        let shaken = tokio::select! {
            shaken = acceptor.accept(stream) => shaken,
            () = activity.overdue() => {
                CONNECTIONS_SILENT.count();
                return tracing::debug!(address = %self.address, "a TLS handshake took too long");
            }
            () = told(&mut stop) => return,
        };
        match shaken {
            Ok(stream) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let chain = certificates.map(|all| all.iter().map(|c| c.as_ref().to_vec()).collect());
                self.speak(stream, chain, (patience, activity), stop).await;
            }
            Err(error) => {
                if is_about_who_connects(&error) {
                    FAILURES.count(self.address.ip(), "client_certificate_invalid", None);
                }
                tracing::debug!(%error, address = %self.address, "a TLS handshake failed");
            }
        }
    }

    async fn speak<S>(
        &self,
        stream: S,
        certificates: Option<Arc<[Vec<u8>]>>,
        (patience, activity): (Patience, Arc<Activity>),
        mut stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer { address: self.address, certificates };
        let listening = &self.listening;
        let service = service_fn(|request| listening.clone().answer(request, peer.clone(), activity.clone()));
        let (builder, stream) = (builder(patience), Lingering::new(stream, activity.clone()));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = activity.overdue() => None,
            () = told(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                // What is under way is finished; whoever cuts us off knows for how long.
                if activity.is_idle() { None } else { Some(connection.as_mut().await) }
            }
        };
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, address = %self.address, "a connection ended badly");
            }
            None if activity.is_silent() => {
                CONNECTIONS_SILENT.count();
                tracing::debug!(address = %self.address, "a connection sent no request in time");
            }
            // Told that it ends, before it does.
            None => {
                connection.as_mut().graceful_shutdown();
                _ = timeout(GOODBYE, connection.as_mut()).await;
            }
        }
    }
}

impl Listening {
    async fn answer(
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
            Body::new(Arriving::new(body, settings.patience.stall, arriving))
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

/// Whether a handshake failed for the certificate that a client showed.
fn is_about_who_connects(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
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

async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that whoever could stop us is gone.
    _ = stop.wait_for(|stop| *stop).await;
}

fn builder(patience: Patience) -> Builder<Streams> {
    let mut builder = Builder::new(Streams { patience: patience.stall });
    builder
        .http1()
        .timer(TokioTimer::new())
        // Heads are watched for; this is for those that are on their way behind another request.
        .header_read_timeout(patience.idle)
        .max_buf_size(MAX_HEAD)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_RESET)
        .max_local_error_reset_streams(MAX_RESET)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(patience.stall);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_networks_of_one_site_share_what_it_has() {
        let places = Tally::default();
        let take = |address: &str| place(2, &places, address.parse().unwrap());
        let held: Vec<_> = (0..3).map(|_| take("192.0.2.1")).collect();
        assert!(held[1].is_some() && held[2].is_none() && take("::ffff:192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some(), "an IPv4 address is no site");
        let held: Vec<_> = (0..20).map(|n| take(&format!("2001:db8:7:{n:x}::{n:x}"))).collect();
        assert_eq!(held.iter().flatten().count(), 2 * SITE);
        assert!(take("2001:db8:8::1").is_some(), "another site");
        drop(held);
        let again: Vec<_> = (0..3).map(|n| take(&format!("2001:db8:7::{n:x}"))).collect();
        assert!(again[1].is_some() && again[2].is_none(), "a network has its own limit");
    }
}
