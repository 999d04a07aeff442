//! One connection: its handshake, its requests, and its end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::activity::Activity;
use super::delivery::Streams;
use super::lingering::Lingering;
use super::listening::Listening;
use super::options::Patience;
use super::patient::Patient;
use crate::http::{CONNECTIONS_SILENT, FAILURES, Peer};

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

pub(super) struct Connection {
    pub(super) listening: Arc<Listening>,
    pub(super) address: SocketAddr,
}

impl Connection {
    pub(super) async fn serve(self, stream: TcpStream, mut stop: watch::Receiver<bool>) {
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

/// Whether a handshake failed for the certificate that a client showed.
fn is_about_who_connects(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
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
