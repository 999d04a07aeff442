//! Connections: accepted, limited, and ended: by themselves when nothing comes, gracefully when the server is told to.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::activity::{Activity, Busy};
use super::arriving::{Arriving, Held};
use super::delivery::{Delivery, Streams};
use super::options::Patience;
use super::patient::Patient;
use super::tls::{LOOK, Reloading};
use crate::http::{
    ApiError, CONNECTIONS_NOT_ACCEPTED, CONNECTIONS_REFUSED, CONNECTIONS_SILENT, ForAll, Network, Peer,
    Share, Tally, network_of, refused,
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
/// Answers up to this size count for nobody.
const SMALL: u64 = 4 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) router: Router,
    pub(super) tls: Option<Reloading>,
    pub(super) patience: Patience,
    /// Connections of one address.
    pub(super) per_address: usize,
    /// Proxies and gateways: many others are behind their addresses.
    pub(super) known: Vec<Network>,
    pub(super) held: Held,
}

pub(super) async fn serve(listener: TcpListener, listening: Listening, mut stop: watch::Receiver<bool>) {
    let listening = Arc::new(listening);
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
        let Some(place) = place(&listening, &places, address) else { continue };
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

/// A place among those of its address, or none. Whoever has no place is closed at once.
fn place(
    listening: &Listening,
    places: &Tally<IpAddr>,
    address: SocketAddr,
) -> Option<Option<Share<IpAddr>>> {
    if listening.is_known(address.ip()) {
        return Some(None);
    }
    let mut place = places.share(network_of(address.ip()));
    if place.grow(1, listening.per_address) {
        return Some(Some(place));
    }
    if CONNECTIONS_REFUSED.count() {
        let most = listening.per_address;
        tracing::warn!(%address, most, "an address has all the connections it may have; see --connections-per-address");
    }
    None
}

/// How many connections there may be, so that files are left for the store and the keys.
fn most_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files = files.and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    let most = files.map_or(MAX_CONNECTIONS, |files| files.saturating_sub(OTHER_FILES).max(files / 2));
    if most < MAX_CONNECTIONS {
        tracing::warn!(
            connections = most,
            "the limit of open files keeps the connections below {MAX_CONNECTIONS}"
        );
    }
    most.clamp(1, MAX_CONNECTIONS)
}

async fn look_again(listening: Arc<Listening>) {
    let Some(tls) = &listening.tls else { return };
    loop {
        sleep(LOOK).await;
        tls.look();
    }
}

impl Listening {
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
        let patience = self.listening.patience;
        let activity = Arc::new(Activity::new(patience));
        let stream = Patient::new(stream, patience.stall, activity.clone());
        let Some(tls) = &self.listening.tls else {
            return self.speak(stream, None, activity, stop).await;
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
                self.speak(stream, chain, activity, stop).await;
            }
            Err(error) => tracing::debug!(%error, address = %self.address, "a TLS handshake failed"),
        }
    }

    async fn speak<S>(
        &self,
        stream: S,
        certificates: Option<Arc<[Vec<u8>]>>,
        activity: Arc<Activity>,
        mut stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer { address: self.address, certificates };
        let listening = &self.listening;
        let service = service_fn(|request| listening.clone().answer(request, peer.clone(), activity.clone()));
        let builder = builder(listening.patience);
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
        let address = network_of(peer.address.ip());
        let address = (!self.is_known(address)).then_some(address);
        let mut arriving = self.held.share(address);
        if !request.body().is_end_stream() && !arriving.grow(head_len(&request)) {
            return Ok(crowded(busy));
        }
        let mut request = request.map(|body| {
            if body.is_end_stream() {
                return Body::empty();
            }
            Body::new(Arriving::new(body, self.patience.stall, arriving))
        });
        request.extensions_mut().insert(peer);
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let size = response.body().size_hint().lower();
        let mut share = None;
        if size > SMALL && response.extensions().get::<ForAll>().is_none() {
            let mut own = self.held.share(address);
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
fn head_len(request: &Request<Incoming>) -> usize {
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
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
