//! One attempt, by HTTP.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Request, Response, Url, redirect};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::resolve::{Guarded, Resolver, System};
use super::why::why;
use crate::brand::PRODUCT;
use crate::webhook::answer::Answer;
use crate::webhook::guard::{Guard, GuardError};
use crate::webhook::transport::{MAX_ANSWER, PostError, WebhookTransport};
use crate::webhook::url::{Host, WebhookUrl};

/// Until a connection stands, and until there is an answer.
const WHOLE: Duration = Duration::from_secs(10);
/// How long is waited for the beginning of a body: what the answer means is known by then.
const BODY: Duration = Duration::from_secs(1);
/// Connections to one host that are kept, and for how long.
const KEPT: usize = 32;
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Sends deliveries by HTTP/1.1, within a `tokio` runtime.
#[derive(Clone, Debug)]
pub struct HttpWebhooks {
    client: Client,
    guard: Arc<Guard>,
}

/// Why deliveries cannot be sent at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A certificate that TLS is to trust cannot be used.
    #[error("a certificate that TLS is to trust cannot be used: {0}")]
    Root(String),
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
}

impl HttpWebhooks {
    /// Sends to where this guard lets it. TLS trusts these roots, DER, or the system's if there are none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn new(guard: Guard, roots: &[Vec<u8>]) -> Result<Self, ClientError> {
        Self::resolving(guard, roots, Arc::new(System))
    }

    /// As [`HttpWebhooks::new`], with another way to look names up.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn resolving(
        guard: Guard,
        roots: &[Vec<u8>],
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, ClientError> {
        let guard = Arc::new(guard);
        let client = Client::builder()
            .tls_backend_preconfigured(tls(roots)?)
            .dns_resolver(Arc::new(Guarded { resolver, guard: guard.clone() }))
            .http1_only()
            .no_proxy()
            .referer(false)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(WHOLE)
            .timeout(WHOLE)
            .pool_max_idle_per_host(KEPT)
            .pool_idle_timeout(KEPT_FOR)
            .build();
        let client = client.map_err(|error| ClientError::Client(error.to_string()))?;
        Ok(Self { client, guard })
    }
}

fn tls(roots: &[Vec<u8>]) -> Result<ClientConfig, ClientError> {
    let mut store = RootCertStore::empty();
    if roots.is_empty() {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for root in roots {
        let added = store.add(CertificateDer::from(root.as_slice()).into_owned());
        added.map_err(|error| ClientError::Root(error.to_string()))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Client(error.to_string()))?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(config)
}

/// The URL, if the library reads the same host in it.
fn read(url: &WebhookUrl) -> Result<Url, GuardError> {
    let read = Url::parse(url.as_str()).map_err(|_| GuardError::Url)?;
    let host = read.host_str().unwrap_or_default();
    let same = match url.host() {
        Host::Name(name) => host == name,
        Host::Address(address) => {
            host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|read| read == *address)
        }
    };
    if same { Ok(read) } else { Err(GuardError::Url) }
}

#[async_trait]
impl WebhookTransport for HttpWebhooks {
    fn check(&self, url: &WebhookUrl) -> Result<(), GuardError> {
        read(url)?;
        self.guard.check_url(url)
    }

    async fn post(
        &self,
        url: &WebhookUrl,
        fields: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, PostError> {
        // An address is connected to without being looked up; and what is allowed may have changed.
        self.check(url)?;
        let mut request = Request::new(reqwest::Method::POST, read(url)?);
        *request.headers_mut() =
            headers(fields).ok_or_else(|| PostError::Broken("a header field".to_owned()))?;
        *request.body_mut() = Some(body.into());
        let mut response = self.client.execute(request).await.map_err(|error| why(&error))?;
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        let mut body = Vec::new();
        // Dropped with the rest: the connection ends, whatever is still to come.
        let _ = tokio::time::timeout(BODY, beginning(&mut response, &mut body)).await;
        Ok(Answer { status, retry_after, body })
    }
}

fn headers(fields: Vec<(String, String)>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
    for (name, value) in fields {
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    Some(headers)
}

/// Reads the beginning of a body; one that ends within it is read to its end, so that the connection is kept.
async fn beginning(response: &mut Response, body: &mut Vec<u8>) {
    while let Ok(Some(piece)) = response.chunk().await {
        let room = MAX_ANSWER.saturating_sub(body.len());
        body.extend(piece.iter().take(room));
        if piece.len() > room {
            return;
        }
    }
}
