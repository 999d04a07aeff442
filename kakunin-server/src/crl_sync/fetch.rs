//! One conditional GET, over HTTP or TLS. A connection each time: it is one a second at most, and none is
//! ever stale.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kakunin_verify::feed::broken;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::pem_file;

/// Where CRLs are, if the URL names a server alone.
const PATH: &str = "/api/v1/crl/chain";
/// The longest that one look takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read: a million revocations are 66 MB.
const MAX_LEN: usize = 256 * 1024 * 1024;
/// The system's anchors, where distributions put them.
const SYSTEM_ANCHORS: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

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
    pub(super) body: Bytes,
    tag: Option<HeaderValue>,
}

/// Where CRLs come from, and which were accepted last.
pub(super) struct Source {
    uri: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    tag: Option<HeaderValue>,
    key: Option<HeaderValue>,
}

impl Source {
    pub(super) fn new(url: &str, anchors: Option<&Path>, key: Option<&Path>) -> Result<Self, FetchError> {
        let none = || FetchError::Url(url.to_owned());
        let named: Uri = url.parse().map_err(|_| none())?;
        let host = named.host().ok_or_else(none)?.to_owned();
        let tls = match named.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Some((connector(anchors)?, ServerName::try_from(bare).map_err(|_| none())?))
            }
            _ => return Err(none()),
        };
        let uri = match named.path() {
            "/" => format!("{}{PATH}", url.trim_end_matches('/')).parse().map_err(|_| none())?,
            _ => named,
        };
        let here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if key.is_some() && tls.is_none() && !here {
            return Err(FetchError::PlainKey);
        }
        Ok(Self { tls, tag: None, key: key.map(credentials).transpose()?, uri })
    }

    /// What is there now, unless it is what was accepted last.
    pub(super) async fn get(&self) -> Result<Option<Answer>, FetchError> {
        let timeout = |_| FetchError::NoAnswer(self.uri.to_string(), "it takes too long".to_owned());
        tokio::time::timeout(PATIENCE, self.ask()).await.map_err(timeout).and_then(|done| done)
    }

    /// This one was taken over: until it changes it need not be sent again.
    pub(super) fn accepted(&mut self, answer: Answer) {
        self.tag = answer.tag;
    }

    async fn ask(&self) -> Result<Option<Answer>, FetchError> {
        let host = self.uri.host().unwrap_or_default();
        let port = self.uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((bare, port)).await.map_err(|error| self.no_answer(&error))?;
        match &self.tls {
            Some((connector, name)) => {
                let tls = |error: std::io::Error| FetchError::Tls(self.uri.to_string(), broken(&error));
                self.exchange(connector.connect(name.clone(), socket).await.map_err(tls)?).await
            }
            None => self.exchange(socket).await,
        }
    }

    async fn exchange<S>(&self, stream: S) -> Result<Option<Answer>, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.no_answer(&e))?;
        // Ends with the connection.
        tokio::spawn(connection);
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::get(path).header(header::HOST, authority);
        if let Some(tag) = &self.tag {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, key);
        }
        let request = request.body(Body::empty()).map_err(|e| self.no_answer(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| self.no_answer(&e))?;
        let (parts, body) = answer.into_parts();
        match parts.status {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => {
                let body = Limited::new(body, MAX_LEN).collect().await;
                let body = body.map_err(|error| self.no_answer(&*error))?.to_bytes();
                Ok(Some(Answer { body, tag: parts.headers.get(header::ETAG).cloned() }))
            }
            other => Err(FetchError::Status(self.uri.to_string(), other)),
        }
    }

    fn no_answer(&self, error: &(dyn std::error::Error + 'static)) -> FetchError {
        FetchError::NoAnswer(self.uri.to_string(), broken(error))
    }
}

/// The API key in a file, as it is shown; hidden from logs.
fn credentials(path: &Path) -> Result<HeaderValue, FetchError> {
    let unreadable =
        |why: &dyn std::fmt::Display| FetchError::KeyFile { path: path.to_owned(), why: why.to_string() };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| unreadable(&e))?);
    let line = Zeroizing::new(format!("Bearer {}", text.trim()));
    let mut value = HeaderValue::from_str(&line).map_err(|_| unreadable(&"it holds no API key"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn connector(anchors: Option<&Path>) -> Result<TlsConnector, FetchError> {
    let system = || SYSTEM_ANCHORS.map(Path::new).into_iter().find(|path| path.exists());
    let [default, _] = SYSTEM_ANCHORS.map(Path::new);
    let path = anchors.or_else(system).unwrap_or(default);
    let unusable =
        |why: &dyn std::fmt::Display| FetchError::Anchors { path: path.to_owned(), why: why.to_string() };
    let mut roots = RootCertStore::empty();
    let octets = std::fs::read(path).map_err(|e| unusable(&e))?;
    for certificate in pem_file::certificates(path, &octets).map_err(|why| unusable(&why))? {
        roots.add(certificate).map_err(|e| unusable(&broken(&e)))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
