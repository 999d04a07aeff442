//! Requests to one server.

use std::net::Ipv4Addr;

use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Request, Url, redirect};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::bounds::Bounds;
use super::error::HttpError;
use super::tls::{Shown, Tls};

/// Asks one server.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    base: String,
    /// Whether nobody on the way can read along.
    confidential: bool,
    most: usize,
}

impl HttpClient {
    /// Asks the server at `base`, `http(s)://host[:port][/path]`; in handshakes it shows this certificate, if any.
    ///
    /// # Errors
    /// [`HttpError::Url`]; [`HttpError::NoRoots`] for TLS that trusts nobody; [`HttpError::Shown`].
    pub fn new(base: &str, tls: &Tls, shown: Option<Shown>, bounds: &Bounds) -> Result<Self, HttpError> {
        let url = server(base)?;
        let (secure, here) = (url.scheme() == "https", is_here(&url));
        // To a proxy there may be TLS where to the server there is none; to this machine there is no proxy.
        let tls = if secure || !here { tls } else { &Tls::nobody() };
        if secure && tls.is_nobody() {
            return Err(HttpError::NoRoots);
        }
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.config(shown)?)
            .http1_only()
            .redirect(redirect::Policy::none())
            .connect_timeout(bounds.connect)
            .read_timeout(bounds.silence);
        if let Some(whole) = bounds.whole {
            builder = builder.timeout(whole);
        }
        if !bounds.keep {
            builder = builder.pool_max_idle_per_host(0);
        }
        // A proxy has another idea of what `localhost` is, and would read what is shown to this machine alone.
        if here {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| HttpError::of(&error))?;
        Ok(Self { client, base: base.to_owned(), confidential: secure || here, most: bounds.body })
    }

    /// Whether nobody on the way can read along: it is TLS, or this machine.
    #[must_use]
    pub const fn is_confidential(&self) -> bool {
        self.confidential
    }

    /// Which server it asks.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for what is at `path`, which stands behind the base and begins with `/`, or is empty. It is sent as it is, or not
    /// at all. The answer may have any status; its content is still on its way.
    ///
    /// # Errors
    /// [`HttpError`], if there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        fields: HeaderMap,
        content: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        // Anything else could be the rest of another host's name.
        if !(path.is_empty() || path.starts_with('/')) {
            return Err(HttpError::Path);
        }
        let url = server(&format!("{}{path}", self.base))?;
        // A `Url` takes dot segments away, and more; a signature is for what was said.
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        if !format!("{}{query}", url.path()).ends_with(path) {
            return Err(HttpError::Path);
        }
        let mut request = Request::new(method, url);
        *request.headers_mut() = fields;
        *request.body_mut() = Some(content.into());
        let answer = self.client.execute(request).await.map_err(|error| HttpError::of(&error))?;
        Ok(Answer::new(answer, self.most))
    }
}

/// An API key as it is shown, hidden from logs; `None` if it is none.
#[must_use]
pub fn bearer(key: &str) -> Option<HeaderValue> {
    let key = key.trim();
    let line = Zeroizing::new(format!("Bearer {key}"));
    let mut value = HeaderValue::try_from(line.as_str()).ok().filter(|_| !key.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// The URL of a server. One with a password in it would be printed with it.
fn server(text: &str) -> Result<Url, HttpError> {
    let url = Url::parse(text).map_err(|_| HttpError::Url)?;
    let known = matches!(url.scheme(), "http" | "https") && url.has_host();
    let bare = url.username().is_empty() && url.password().is_none();
    if known && bare { Ok(url) } else { Err(HttpError::Url) }
}

/// Whether it is this machine; in a `Url` an address has one spelling.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    matches!(host, "localhost" | "[::1]") || host.parse().is_ok_and(|address: Ipv4Addr| address.is_loopback())
}
