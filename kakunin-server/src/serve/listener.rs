//! Connections: accepted, limited, and ended gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::patient::Patient;
use super::tls::{LOOK, Reloading};
use crate::http::Peer;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 10_000;
/// How long a client may take to shake hands, or to send the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to accept what it is sent.
const STALL: Duration = Duration::from_secs(20);
/// How long requests that are under way may take once the server is told to end.
const GRACE: Duration = Duration::from_secs(10);
/// Most octets of a request's head.
const MAX_HEAD: usize = 64 * 1024;

pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Reloading>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let tls = tls.map(Arc::new);
    let watcher = tls.clone().map(|tls| tokio::spawn(look_again(tls)));
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while !*stop.borrow() {
        // The semaphore is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error means that whoever could stop us is gone.
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = Connection { router: router.clone(), address, tls: tls.clone() };
                let watcher = graceful.watcher();
                tokio::spawn(async move {
                    connection.serve(stream, watcher).await;
                    drop(permit);
                });
            }
            // Out of file descriptors, most likely: others must end first.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in {} s and were cut off", GRACE.as_secs());
    }
    if let Some(watcher) = watcher {
        watcher.abort();
    }
}

async fn look_again(tls: Arc<Reloading>) {
    loop {
        sleep(LOOK).await;
        tls.look();
    }
}

struct Connection {
    router: Router,
    address: SocketAddr,
    tls: Option<Arc<Reloading>>,
}

type Watcher = hyper_util::server::graceful::Watcher;

impl Connection {
    async fn serve(self, stream: TcpStream, watcher: Watcher) {
        // Small answers go out at once; a socket that refuses is slower, and works.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, STALL);
        let Some(tls) = &self.tls else {
            return self.speak(stream, None, watcher).await;
        };
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.config());
        match timeout(PATIENCE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let certificates = stream.get_ref().1.peer_certificates();
                let chain = certificates.map(|all| all.iter().map(|c| c.as_ref().to_vec()).collect());
                self.speak(stream, chain, watcher).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, address = %self.address, "a TLS handshake failed"),
            Err(_) => tracing::debug!(address = %self.address, "a TLS handshake took too long"),
        }
    }

    async fn speak<S>(&self, stream: S, certificates: Option<Arc<[Vec<u8>]>>, watcher: Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer { address: self.address, certificates };
        let router = &self.router;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.clone().oneshot(request)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(MAX_HEAD)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .keep_alive_interval(Duration::from_secs(30));
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, address = %self.address, "a connection ended badly");
        }
    }
}
