//! A `tower` layer: only requests whose agent may do what they ask for reach the service.
//!
//! The agent is shown, in this order, by
//!
//! 1. [`PeerCertificates`] in the request's extensions: mutual TLS that ended in this process;
//! 2. `Client-Cert` and `Client-Cert-Chain` (RFC 9440), from proxies that the host names;
//! 3. `X-Kakunin-Certificate` with a signature over the request (see [`crate::possession`]).
//!
//! A serial number alone proves nothing and is refused, and so is one that is not the shown certificate's.
//! A field that comes twice is refused. Signatures cover the target as the client sent it, so
//! the layer goes outside of whatever takes prefixes off paths.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use kakunin_core::event::Attribution;
use kakunin_core::time::{Clock, UnixTime};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::agent::{Authorized, VerifiedAgent};
use crate::denied::{Code, Denied};
use crate::possession::{
    CERTIFICATE_HEADER, Nonces, SERIAL_HEADER, SignedRequest, parse_certificates, prove,
};
use crate::report::{Decision, Reporter, Subject};
use crate::target::plain;
use crate::verifier::Verifier;

/// The peer's certificates as its TLS handshake proved them, leaf first. Whoever ends TLS puts this into
/// the extensions of each request.
#[derive(Clone, Debug)]
pub struct PeerCertificates(pub Arc<[Vec<u8>]>);

/// Lets in what certificates allow. Puts [`Authorized`] into the extensions of each request it lets in,
/// and answers the others itself: `{"error":"<code>"}` with the status of the code.
///
/// Bodies are not read. A signature that covers `content-digest` covers that field; whether it is the
/// body's (RFC 9530) is for whoever reads the body.
#[derive(Clone)]
pub struct AgentLayer(Arc<Guard>);

/// Something that the host knows of a request.
type Ask<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;

#[derive(Clone)]
struct Guard {
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    action: Ask<Option<String>>,
    proxy: Option<Ask<bool>>,
    nonces: Arc<Nonces>,
    reporter: Option<Arc<dyn Reporter>>,
}

impl AgentLayer {
    /// A layer that asks `action` what each request wants to do, such as `write:payments`; a request for
    /// which it knows none is refused. [`Routes`](crate::target::Routes) know it by method and path. It is
    /// not asked about requests that can be read in more than one way (see [`crate::target`]): those are refused.
    #[must_use]
    pub fn new(
        verifier: Verifier,
        clock: Arc<dyn Clock>,
        action: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let action = move |parts: &Parts| plain(parts).ok().and_then(|()| action(parts));
        let (proxy, nonces, reporter) = (None, Arc::default(), None);
        Self(Arc::new(Guard { verifier, clock, action: Arc::new(action), proxy, nonces, reporter }))
    }

    /// Takes `Client-Cert` from requests of which `is_proxy` says that they come from a proxy that verified
    /// the client's possession, and that deletes the field where a client sends it.
    #[must_use]
    pub fn client_cert_from(self, is_proxy: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|guard| guard.proxy = Some(Arc::new(is_proxy)))
    }

    /// Tells `reporter` of each decision.
    #[must_use]
    pub fn report_to(self, reporter: impl Reporter + 'static) -> Self {
        self.with(|guard| guard.reporter = Some(Arc::new(reporter)))
    }

    /// Remembers up to `capacity` nonces of signed requests, if not 100,000.
    #[must_use]
    pub fn nonce_capacity(self, capacity: usize) -> Self {
        self.with(|guard| guard.nonces = Arc::new(Nonces::new(capacity)))
    }

    // Clones made before keep what they had.
    fn with(mut self, change: impl FnOnce(&mut Guard)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Debug for AgentLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentLayer({:?})", self.0.verifier)
    }
}

/// What a request brings to show whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    headers: &'a HeaderMap,
    peer: Option<&'a [Vec<u8>]>,
    from_proxy: bool,
    method: &'a str,
    target: &'a str,
    authority: Option<&'a str>,
}

impl<'a> Presented<'a> {
    /// The fields of a request with this method and target (origin form). `peer` is the chain that its TLS
    /// handshake proved; `from_proxy` says whether its `Client-Cert` fields are to be believed.
    #[must_use]
    pub const fn new(
        headers: &'a HeaderMap,
        (method, target): (&'a str, &'a str),
        peer: Option<&'a [Vec<u8>]>,
        from_proxy: bool,
    ) -> Self {
        Self { headers, peer, from_proxy, method, target, authority: None }
    }

    /// With the authority of the request's URI, where HTTP/2 has it. Without, that of its `Host` field.
    #[must_use]
    pub const fn authority(mut self, authority: &'a str) -> Self {
        self.authority = Some(authority);
        self
    }

    /// The agent whose request it is, with possession shown. Standing and scope are not looked at, so that
    /// a refusal for either is known to be the agent's own doing.
    ///
    /// # Errors
    /// [`Denied`]; together with the agent, if its certificate was accepted and only possession was not.
    pub fn agent(
        &self,
        verifier: &Verifier,
        nonces: &Nonces,
        now: UnixTime,
    ) -> Result<VerifiedAgent, (Denied, Option<VerifiedAgent>)> {
        let agent = self.shown(verifier, nonces, now)?;
        // Whoever reads that field behind us would take the request for another's.
        match self.field(SERIAL_HEADER) {
            Ok(Some(text)) if text.parse().ok().as_ref() != Some(agent.serial()) => {
                Err((Denied::about(Code::PossessionInvalid, SERIAL_HEADER), None))
            }
            Ok(_) => Ok(agent),
            Err(denied) => Err((denied, None)),
        }
    }

    fn shown(
        &self,
        verifier: &Verifier,
        nonces: &Nonces,
        now: UnixTime,
    ) -> Result<VerifiedAgent, (Denied, Option<VerifiedAgent>)> {
        let alone = |denied| (denied, None);
        if let Some(chain) = self.peer.filter(|chain| !chain.is_empty()) {
            return verifier.identify(chain, now).map_err(alone);
        }
        if self.from_proxy && self.headers.contains_key(CLIENT_CERT) {
            let mut chain = self.certificates(CLIENT_CERT).map_err(alone)?;
            if chain.len() != 1 {
                return Err(alone(Denied::about(Code::CertificateMalformed, CLIENT_CERT)));
            }
            if self.headers.contains_key(CLIENT_CERT_CHAIN) {
                chain.extend(self.certificates(CLIENT_CERT_CHAIN).map_err(alone)?);
            }
            return verifier.identify(&chain, now).map_err(alone);
        }
        if !self.headers.contains_key(CERTIFICATE_HEADER) {
            let named = self.headers.contains_key(SERIAL_HEADER);
            let code = if named { Code::PossessionMissing } else { Code::CertificateMissing };
            return Err(alone(Denied::new(code)));
        }
        let chain = self.certificates(CERTIFICATE_HEADER).map_err(alone)?;
        let agent = verifier.identify(&chain, now).map_err(alone)?;
        match self.signed(&agent, nonces, now) {
            Ok(()) => Ok(agent),
            Err(denied) => Err((denied, Some(agent))),
        }
    }

    fn signed(&self, agent: &VerifiedAgent, nonces: &Nonces, now: UnixTime) -> Result<(), Denied> {
        let missing = || Denied::new(Code::PossessionMissing);
        let input = self.field("signature-input")?.ok_or_else(missing)?;
        let signature = self.field("signature")?.ok_or_else(missing)?;
        let mut request = SignedRequest::new(self.method, self.target, input, signature);
        if let Some(authority) = self.sent_to()? {
            request = request.authority(authority);
        }
        if let Some(digest) = self.field("content-digest")? {
            request = request.content_digest(digest);
        }
        prove(&request, agent, nonces, now)
    }

    fn sent_to(&self) -> Result<Option<&'a str>, Denied> {
        let host = self.field("host")?;
        match (self.authority, host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                Err(Denied::about(Code::PossessionInvalid, "host"))
            }
            (authority, host) => Ok(authority.or(host)),
        }
    }

    fn certificates(&self, name: &'static str) -> Result<Vec<Vec<u8>>, Denied> {
        let text = self.field(name)?.ok_or(Denied::new(Code::CertificateMissing))?;
        parse_certificates(text)
    }

    // The one value of a field: two could be read differently by others.
    fn field(&self, name: &'static str) -> Result<Option<&'a str>, Denied> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                value.to_str().map(Some).map_err(|_| Denied::about(Code::PossessionInvalid, name))
            }
            (Some(_), Some(_)) => Err(Denied::about(Code::PossessionInvalid, name)),
        }
    }
}

const CLIENT_CERT: &str = "client-cert";
const CLIENT_CERT_CHAIN: &str = "client-cert-chain";

impl Guard {
    fn decide(&self, parts: &Parts) -> Result<Authorized, Denied> {
        let now = self.clock.now();
        let action = (self.action)(parts);
        let peer = parts.extensions.get::<PeerCertificates>().map(|peer| &*peer.0);
        let from_proxy = self.proxy.as_ref().is_some_and(|is_proxy| is_proxy(parts));
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut presented = Presented::new(&parts.headers, (parts.method.as_str(), target), peer, from_proxy);
        if let Some(authority) = parts.uri.authority() {
            presented = presented.authority(authority.as_str());
        }
        let (result, who, attribution) = match presented.agent(&self.verifier, &self.nonces, now) {
            Ok(agent) => {
                let allowed = match &action {
                    Some(action) => agent.authorize(action, now),
                    None => Err(plain(parts).err().unwrap_or(Denied::new(Code::ActionMalformed))),
                };
                (allowed, Some(Subject::from(&agent)), Attribution::Possession)
            }
            Err((denied, agent)) => (Err(denied), agent.as_ref().map(Subject::from), Attribution::Asserted),
        };
        if let Some(reporter) = &self.reporter {
            let refusal = result.as_ref().err().map(Denied::kind);
            reporter.report(Decision { at: now, who, action, refusal, attribution });
        }
        result
    }
}

impl<S> Layer<S> for AgentLayer {
    type Service = AgentService<S>;

    fn layer(&self, inner: S) -> AgentService<S> {
        AgentService { inner, guard: self.0.clone() }
    }
}

/// A service behind an [`AgentLayer`].
#[derive(Clone)]
pub struct AgentService<S> {
    inner: S,
    guard: Arc<Guard>,
}

impl<S: fmt::Debug> fmt::Debug for AgentService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentService({:?})", self.inner)
    }
}

impl<S, B, R> Service<Request<B>> for AgentService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.guard.decide(&parts) {
            Ok(authorized) => {
                parts.extensions.insert(authorized);
                Answer { state: State::Asked { future: self.inner.call(Request::from_parts(parts, body)) } }
            }
            Err(denied) => Answer { state: State::Refused { response: Some(refusal(&denied)) } },
        }
    }
}

pin_project! {
    /// The answer of a service behind an [`AgentLayer`], or the layer's own.
    #[derive(Debug)]
    pub struct Answer<F, R> {
        #[pin]
        state: State<F, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[derive(Debug)]
    enum State<F, R> {
        Asked { #[pin] future: F },
        Refused { response: Option<Response<R>> },
    }
}

impl<F, R, E> Future for Answer<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Asked { future } => future.poll(cx),
            // Whoever polls again after the answer gets none.
            StateProjection::Refused { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
        }
    }
}

/// `{"error":"<code>"}` with the status of the code.
fn refusal<R: From<String>>(denied: &Denied) -> Response<R> {
    let mut response = Response::new(R::from(format!("{{\"error\":\"{}\"}}", denied.code())));
    *response.status_mut() = StatusCode::from_u16(denied.http_status()).unwrap_or(StatusCode::FORBIDDEN);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if denied.http_status() == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Signature tag=\"kakunin-request\""));
    }
    response
}
