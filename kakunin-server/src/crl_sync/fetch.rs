//! One conditional GET. A connection each time: it is one a second at most, none is ever stale, and each begins with the
//! server's certificate.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use kakunin_verify::feed::http::{Bounds, HttpClient, HttpError, Tls, bearer};
use zeroize::Zeroizing;

use crate::pem_file;

/// Where CRLs are, if the URL names a server alone.
const PATH: &str = "/api/v1/crl/chain";
/// The longest that one look takes.
const PATIENCE: Duration = Duration::from_secs(30);
const BOUNDS: Bounds = Bounds {
    connect: PATIENCE,
    silence: PATIENCE,
    whole: Some(PATIENCE),
    // A million revocations are 66 MB.
    body: 256 * 1024 * 1024,
    keep: false,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Not a URL.
    #[error("--url is `{0}`: write http://HOST[:PORT] or https://HOST[:PORT], perhaps with a path")]
    Url(String),
    /// The anchors of TLS cannot be used.
    #[error("cannot use {path}, whom TLS trusts: {why}; name others with --tls-ca", path = path.display())]
    Anchors {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The system has none, and TLS is asked for.
    #[error("--tls-ca names nobody, and {0}")]
    NoAnchors(HttpError),
    /// The API key cannot be read.
    #[error("--key-file: cannot use {path}: {why}", path = path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The API key would be seen by everybody on the way.
    #[error("--key-file takes https, but on this machine")]
    PlainKey,
    /// No connection, or it broke.
    #[error("no answer from {0}: {1}")]
    NoAnswer(String, String),
    /// The server's certificate is not accepted, or TLS fails otherwise.
    #[error("no TLS with {0}: {1}; --tls-ca names whom to trust, --url the server as its certificate does")]
    Tls(String, String),
    /// Another status than 200 or 304.
    #[error("{0} answers {1}; see what --url names, and --key-file for 401 and 403")]
    Status(String, StatusCode),
}

/// What was answered.
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    tag: Option<HeaderValue>,
}

/// Where CRLs come from, and which were accepted last.
pub(super) struct Source {
    client: HttpClient,
    tag: Option<HeaderValue>,
    key: Option<HeaderValue>,
}

impl Source {
    pub(super) fn new(url: &str, anchors: Option<&Path>, key: Option<&Path>) -> Result<Self, FetchError> {
        let named: Uri = url.parse().map_err(|_| FetchError::Url(url.to_owned()))?;
        let base = match named.path_and_query().map(|path| path.as_str()) {
            None | Some("/") => format!("{}{PATH}", url.trim_end_matches('/')),
            Some(_) => url.to_owned(),
        };
        let tls = anchors.map_or_else(|| Ok(Tls::system()), trusting)?;
        let client = HttpClient::new(&base, &tls, None, &BOUNDS).map_err(|error| match error {
            HttpError::NoRoots => FetchError::NoAnchors(error),
            _ => FetchError::Url(url.to_owned()),
        })?;
        if key.is_some() && !client.is_confidential() {
            return Err(FetchError::PlainKey);
        }
        Ok(Self { client, tag: None, key: key.map(credentials).transpose()? })
    }

    /// What is there now, unless it is what was accepted last.
    pub(super) async fn get(&self) -> Result<Option<Answer>, FetchError> {
        let fields = [(header::IF_NONE_MATCH, &self.tag), (header::AUTHORIZATION, &self.key)];
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let fields = HeaderMap::from_iter(fields);
        let failed = |error| self.failed(error);
        let answer = self.client.send(Method::GET, "", fields, Vec::new()).await.map_err(failed)?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => {
                let tag = answer.headers().get(header::ETAG).cloned();
                Ok(Some(Answer { body: answer.whole().await.map_err(failed)?, tag }))
            }
            other => Err(FetchError::Status(self.client.base().to_owned(), other)),
        }
    }

    /// This one was taken over: until it changes it need not be sent again.
    pub(super) fn accepted(&mut self, answer: Answer) {
        self.tag = answer.tag;
    }

    fn failed(&self, error: HttpError) -> FetchError {
        let url = self.client.base().to_owned();
        match error {
            HttpError::Tls(why) => FetchError::Tls(url, why),
            other => FetchError::NoAnswer(url, other.to_string()),
        }
    }
}

/// The API key in a file, as it is shown.
fn credentials(path: &Path) -> Result<HeaderValue, FetchError> {
    let unreadable =
        |why: &dyn std::fmt::Display| FetchError::KeyFile { path: path.to_owned(), why: why.to_string() };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| unreadable(&e))?);
    bearer(&text).ok_or_else(|| unreadable(&"it holds no API key"))
}

fn trusting(path: &Path) -> Result<Tls, FetchError> {
    let unusable =
        |why: &dyn std::fmt::Display| FetchError::Anchors { path: path.to_owned(), why: why.to_string() };
    let octets = std::fs::read(path).map_err(|e| unusable(&e))?;
    let anchors = pem_file::certificates(path, &octets).map_err(|why| unusable(&why))?;
    Tls::trusting(anchors).map_err(|e| unusable(&e))
}
