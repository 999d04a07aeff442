//! One conditional GET, over HTTP or TLS. A connection each time: it is one a second at most, and none is
//! ever stale.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::uri::InvalidUri;
use axum::http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

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
    #[error("--url is http://HOST[:PORT] or https://HOST[:PORT], perhaps with a path")]
    Url,
    /// The anchors of TLS cannot be used.
    #[error("cannot use the anchors in {path}: {why}; name others with --tls-ca", path = path.display())]
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
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// The server's certificate is not accepted, or TLS fails otherwise.
    #[error(
        "no TLS with the server: {0}; --tls-ca names whom to trust, --url the server as its certificate does"
    )]
    Tls(String),
    /// Another status than 200 or 304.
    #[error("the server answers {0}")]
    Status(StatusCode),
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

impl From<InvalidUri> for FetchError {
    fn from(_: InvalidUri) -> Self {
        Self::Url
    }
}

impl Source {
    pub(super) fn new(url: &str, anchors: Option<&Path>, key: Option<&Path>) -> Result<Self, FetchError> {
        let named: Uri = url.parse()?;
        let host = named.host().ok_or(FetchError::Url)?.to_owned();
        let tls = match named.scheme_str() {
            Some("http") => None,
            Some("https") => {
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Some((connector(anchors)?, ServerName::try_from(bare).map_err(|_| FetchError::Url)?))
            }
            _ => return Err(FetchError::Url),
        };
        let uri =
            if named.path() == "/" { format!("{}{PATH}", url.trim_end_matches('/')).parse()? } else { named };
        let here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if key.is_some() && tls.is_none() && !here {
            return Err(FetchError::PlainKey);
        }
        Ok(Self { tls, tag: None, key: key.map(credentials).transpose()?, uri })
    }

    /// What is there now, unless it is what was accepted last.
    pub(super) async fn get(&self) -> Result<Option<Answer>, FetchError> {
        let timeout = |_| FetchError::NoAnswer("it takes too long".to_owned());
        tokio::time::timeout(PATIENCE, self.ask()).await.map_err(timeout).and_then(|done| done)
    }

    /// This one was taken over: until it changes it need not be sent again.
    pub(super) fn accepted(&mut self, answer: Answer) {
        self.tag = answer.tag;
    }

    async fn ask(&self) -> Result<Option<Answer>, FetchError> {
        let host = self.uri.host().ok_or(FetchError::Url)?;
        let port = self.uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((bare, port)).await.map_err(broken)?;
        match &self.tls {
            Some((connector, name)) => {
                let tls = |error: std::io::Error| FetchError::Tls(error.to_string());
                self.exchange(connector.connect(name.clone(), socket).await.map_err(tls)?).await
            }
            None => self.exchange(socket).await,
        }
    }

    async fn exchange<S>(&self, stream: S) -> Result<Option<Answer>, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
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
        let request = request.body(Body::empty()).map_err(broken)?;
        let (parts, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        match parts.status {
            StatusCode::NOT_MODIFIED => Ok(None),
            StatusCode::OK => {
                let body = Limited::new(body, MAX_LEN).collect().await.map_err(broken)?.to_bytes();
                Ok(Some(Answer { body, tag: parts.headers.get(header::ETAG).cloned() }))
            }
            other => Err(FetchError::Status(other)),
        }
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

fn broken(error: impl std::fmt::Display) -> FetchError {
    FetchError::NoAnswer(error.to_string())
}

fn connector(anchors: Option<&Path>) -> Result<TlsConnector, FetchError> {
    let system = || SYSTEM_ANCHORS.map(Path::new).into_iter().find(|path| path.exists());
    let [default, _] = SYSTEM_ANCHORS.map(Path::new);
    let path = anchors.or_else(system).unwrap_or(default);
    let unusable =
        |why: &dyn std::fmt::Display| FetchError::Anchors { path: path.to_owned(), why: why.to_string() };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unusable(&e))? {
        roots.add(certificate.map_err(|e| unusable(&e))?).map_err(|e| unusable(&e))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"it holds no certificates, PEM"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| unusable(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
