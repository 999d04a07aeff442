//! HTTP to the deployment that is followed.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use kakunin_core::feed::MAX_SNAPSHOT_LEN;
use rustls::pki_types::CertificateDer;

use super::http::{Answer, Bounds, HttpClient, HttpError, Tls, bearer};
use super::setup::FeedSetupError;

/// A feed that lives sends a frame every 5 s, and does not end.
const BOUNDS: Bounds = Bounds {
    connect: Duration::from_secs(5),
    silence: Duration::from_secs(12),
    whole: None,
    body: MAX_SNAPSHOT_LEN,
    keep: true,
};

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

impl From<HttpError> for FetchError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::TooSlow => Self::Silent,
            HttpError::TooLong(_) => Self::TooLong,
            other => Self::Unreachable(other.to_string()),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: HttpClient,
    key: Option<HeaderValue>,
}

impl Transport {
    /// To the deployment at `base`, perhaps with an API key. TLS trusts these roots, DER, or the system's if there
    /// are none.
    pub(super) fn new(base: &str, roots: &[Vec<u8>], key: Option<&str>) -> Result<Self, FeedSetupError> {
        if base.ends_with('/') || base.contains(['?', '#']) {
            return Err(FeedSetupError::Url);
        }
        let tls = if roots.is_empty() {
            Tls::system()
        } else {
            let roots = roots.iter().map(|root| CertificateDer::from(root.as_slice()));
            Tls::trusting(roots).map_err(|_| FeedSetupError::Roots)?
        };
        let client = HttpClient::new(base, &tls, None, &BOUNDS).map_err(|error| match error {
            HttpError::Url => FeedSetupError::Url,
            _ => FeedSetupError::Roots,
        })?;
        // Never in the clear to another machine.
        let shown = |key| bearer(key).filter(|_| client.is_confidential()).ok_or(FeedSetupError::ApiKey);
        let key = key.map(shown).transpose()?;
        Ok(Self { client, key })
    }

    /// Whether it shows an API key.
    pub(super) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The whole answer.
    pub(super) async fn get(&self, path: &str) -> Result<Vec<u8>, FetchError> {
        Ok(self.ask(path, None).await?.whole().await?)
    }

    /// The answer in pieces; a stream goes on after the event that is named.
    pub(super) async fn open(&self, path: &str, last_event: u64) -> Result<Pieces, FetchError> {
        Ok(Pieces(self.ask(path, Some(last_event)).await?))
    }

    async fn ask(&self, path: &str, last_event: Option<u64>) -> Result<Answer, FetchError> {
        let mut fields = HeaderMap::new();
        // What a cache kept is of no use to whoever asks what is new.
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(key) = &self.key {
            fields.insert(header::AUTHORIZATION, key.clone());
        }
        if let Some(id) = last_event {
            fields.insert("last-event-id", id.into());
        }
        let answer = self.client.send(Method::GET, path, fields, Vec::new()).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let asked = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let seconds = asked.and_then(|text| text.parse().ok()).unwrap_or(0);
        let (status, retry_after) = (answer.status().as_u16(), Duration::from_secs(seconds));
        Err(FetchError::Refused { status, retry_after })
    }
}

/// A body as it comes.
#[derive(Debug)]
pub(super) struct Pieces(Answer);

impl Pieces {
    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        Ok(self.0.piece().await?)
    }
}
