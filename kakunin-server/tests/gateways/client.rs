//! An agent's HTTP client: mutual TLS, connections that are kept, sessions that are resumed.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Of every gateway, in its certificate. Caddy answers only requests for the name that the handshake gave.
pub(crate) const NAME: &str = "gateway.example";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

pub(crate) struct Client {
    config: ClientConfig,
    port: u16,
}

pub(crate) struct Connection {
    sender: Sender,
    port: u16,
    pub(crate) resumed: bool,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    /// Trusts `gateway`; shows certificate and key, if it has any.
    pub(crate) fn new(gateway: &Path, shown: Option<(&Path, &Path)>, port: u16) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(gateway).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            Some((certificate, key)) => {
                let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        Self { config, port }
    }

    /// A new connection; sessions of earlier ones are resumed where the gateway lets them be.
    pub(crate) async fn open(&self, protocol: Protocol) -> Option<Connection> {
        let stream = self.connect(protocol).await?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        let stream = TokioIo::new(stream);
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.ok()?;
                tokio::spawn(connection);
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.ok()?;
                tokio::spawn(connection);
                Sender::Http2(sender)
            }
        };
        Some(Connection { sender, port: self.port, resumed })
    }

    /// The same, below HTTP.
    pub(crate) async fn connect(&self, protocol: Protocol) -> Option<TlsStream<TcpStream>> {
        let mut config = self.config.clone();
        config.alpn_protocols =
            vec![if protocol == Protocol::Http1 { b"http/1.1".to_vec() } else { b"h2".to_vec() }];
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let name = ServerName::try_from(NAME).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
    }

    /// The status of a request on a connection of its own; none if there is no answer.
    pub(crate) async fn get(&self, protocol: Protocol, path: &str, fields: &[(&str, &str)]) -> Option<u16> {
        self.open(protocol).await?.get(path, fields).await
    }
}

impl Connection {
    /// The status of a request; none if there is no answer.
    pub(crate) async fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Option<u16> {
        let authority = format!("{NAME}:{}", self.port);
        let http2 = matches!(self.sender, Sender::Http2(_));
        let uri = if http2 { format!("https://{authority}{path}") } else { path.to_owned() };
        let mut request = Request::builder().uri(uri);
        if !http2 {
            request = request.header("host", authority);
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.ok()?;
                sender.send_request(request).await
            }
        };
        let response = response.ok()?;
        let status = response.status().as_u16();
        response.into_body().collect().await.ok()?;
        Some(status)
    }
}
