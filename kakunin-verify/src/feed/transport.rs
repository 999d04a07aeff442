//! HTTP to the deployment that is followed.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kakunin_core::feed::MAX_SNAPSHOT_LEN;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::broken::broken;
use super::setup::FeedSetupError;

/// How long until a connection stands.
const CONNECT: Duration = Duration::from_secs(5);
/// How long without an octet; a feed that lives sends a frame every 5 s.
const SILENCE: Duration = Duration::from_secs(12);

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the feed cannot be reached: {0}")]
    Unreachable(String),
    #[error("the feed answered {status}")]
    Refused { status: u16, retry_after: Duration },
    #[error("the feed fell silent")]
    Silent,
    #[error("the feed ended")]
    Ended,
    #[error("the answer is longer than snapshots are")]
    TooLong,
}

#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    base: String,
    key: Option<HeaderValue>,
}

impl Transport {
    /// To the deployment at `base`, perhaps with an API key. TLS trusts these roots, DER, or the system's if there
    /// are none.
    pub(super) fn new(base: &str, roots: &[Vec<u8>], key: Option<&str>) -> Result<Self, FeedSetupError> {
        let uri: Uri = base.parse().map_err(|_| FeedSetupError::Url)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
        if !known || base.ends_with('/') || uri.query().is_some() {
            return Err(FeedSetupError::Url);
        }
        let key = key.map(|key| credentials(&uri, key)).transpose()?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = HttpsConnectorBuilder::new();
        let builder = if roots.is_empty() {
            builder.with_provider_and_native_roots(provider).map_err(|_| FeedSetupError::Roots)?
        } else {
            let mut store = RootCertStore::empty();
            for root in roots {
                store
                    .add(CertificateDer::from(root.as_slice()).into_owned())
                    .map_err(|_| FeedSetupError::Roots)?;
            }
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .map_err(|_| FeedSetupError::Roots)?
                .with_root_certificates(store)
                .with_no_client_auth();
            builder.with_tls_config(config)
        };
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = builder.https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, base: base.to_owned(), key })
    }

    /// Whether it shows an API key.
    pub(super) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The whole answer.
    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        let mut body = self.open(path, None).await?;
        let mut whole = Vec::new();
        while let Some(piece) = body.next().await? {
            if whole.len() + piece.len() > MAX_SNAPSHOT_LEN {
                return Err(FetchError::TooLong);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// The answer in pieces; a stream goes on after the event that is named.
    pub(super) async fn open(&self, path: &str, last_event: Option<u64>) -> Result<Pieces, FetchError> {
        let unreachable = |error: &(dyn std::error::Error + 'static)| FetchError::Unreachable(broken(error));
        let mut request = Request::get(format!("{}{path}", self.base)).header(header::ACCEPT, "*/*");
        // What a cache kept is of no use to whoever asks what is new.
        request = request.header(header::CACHE_CONTROL, "no-cache");
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key);
        }
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        let request = request.body(Empty::new()).map_err(|error| unreachable(&error))?;
        let answer = timeout(SILENCE, self.client.request(request)).await;
        let answer = answer.map_err(|_| FetchError::Silent)?.map_err(|error| unreachable(&error))?;
        if !answer.status().is_success() {
            let asked = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
            let seconds = asked.and_then(|text| text.parse().ok()).unwrap_or(0);
            let (status, retry_after) = (answer.status().as_u16(), Duration::from_secs(seconds));
            return Err(FetchError::Refused { status, retry_after });
        }
        Ok(Pieces(answer.into_body()))
    }
}

/// An API key as it is shown: hidden from logs, and never in the clear to another machine.
fn credentials(uri: &Uri, key: &str) -> Result<HeaderValue, FeedSetupError> {
    let here = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if uri.scheme_str() != Some("https") && !here {
        return Err(FeedSetupError::ApiKey);
    }
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", key.trim())).map_err(|_| FeedSetupError::ApiKey)?;
    value.set_sensitive(true);
    Ok(value)
}

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Pieces(Incoming);

impl Pieces {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let frame = timeout(SILENCE, self.0.frame()).await.map_err(|_| FetchError::Silent)?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(FetchError::Unreachable(broken(&error))),
                // Trailers say nothing here.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
