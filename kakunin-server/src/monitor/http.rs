//! Requests by whoever is no part of the deployment: each on a connection of its own, so that none profits
//! from what an earlier one was allowed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kakunin_verify::feed::broken;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::MonitorError;
use crate::pem_file;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most octets of an answer: a CRL with a million entries fits.
const MAX_BODY: usize = 128 * 1024 * 1024;

/// Makes requests.
#[derive(Clone, Debug)]
pub(super) struct Http {
    roots: Arc<RootCertStore>,
    named: Vec<CertificateDer<'static>>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Certificate chain and key, with which a client shows who it is in a handshake.
pub(super) type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Http {
    /// Trusts the certificates in `file` (PEM), or those of the system.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, MonitorError> {
        let (mut roots, mut named) = (RootCertStore::empty(), Vec::new());
        match file {
            Some(file) => {
                let unusable = |why: String| MonitorError::Trust(format!("{}: {why}", file.display()));
                let octets = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
                named = pem_file::certificates(file, &octets).map_err(unusable)?;
                for certificate in &named {
                    roots.add(certificate.clone()).map_err(|error| unusable(broken(&error)))?;
                }
            }
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        Ok(Self { roots: Arc::new(roots), named })
    }

    /// The certificates in the file; none if those of the system are trusted.
    pub(super) fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.named
    }

    pub(super) async fn send(
        &self,
        url: &str,
        method: Method,
        fields: &[(&str, &str)],
        body: Vec<u8>,
        shown: Option<Shown>,
    ) -> Result<Answer, MonitorError> {
        let failed =
            |error: &(dyn std::error::Error + 'static)| MonitorError::Http(url.to_owned(), broken(error));
        let bad = |why: &str| MonitorError::Http(url.to_owned(), why.to_owned());
        const NO_URL: &str = "no URL; write http://HOST[:PORT] or https://HOST[:PORT]";
        let uri: Uri = url.parse().map_err(|_| bad(NO_URL))?;
        let host = uri.host().ok_or_else(|| bad(NO_URL))?.trim_matches(['[', ']']);
        let nobody = |why: &str| MonitorError::Unreachable(url.to_owned(), why.to_owned());
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder().method(method).uri(target).header(header::HOST, authority);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).map_err(|error| failed(&error))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(bad(NO_URL)),
        };
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let answered = async {
            let stream =
                TcpStream::connect((host, port)).await.map_err(|error| nobody(&error.to_string()))?;
            if !tls {
                return exchange(stream, request).await.map_err(|error| failed(&*error));
            }
            let name = ServerName::try_from(host.to_owned()).map_err(|e| failed(&e))?;
            let config = self.config(shown).map_err(|error| failed(&error))?;
            let stream =
                TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|e| failed(&e))?;
            exchange(stream, request).await.map_err(|error| failed(&*error))
        };
        tokio::time::timeout(PATIENCE, answered).await.map_err(|_| nobody("no answer within 5 s"))?
    }

    fn config(&self, shown: Option<Shown>) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone());
        match shown {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key),
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Body>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await?.to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}
