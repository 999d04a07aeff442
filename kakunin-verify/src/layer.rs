//! A `tower` layer: only requests whose agent may do what they ask for reach the service.
//!
//! The agent is shown, in this order, by
//!
//! 1. [`PeerCertificates`] in the request's extensions: mutual TLS that ended in this process;
//! 2. `Client-Cert` and `Client-Cert-Chain` (RFC 9440), from proxies that the host names;
//! 3. `X-Kakunin-Certificate` with a signature over the request (see [`crate::possession`]), which is for one of the
//!    service's own names and covers the content.
//!
//! A serial number alone proves nothing and is refused, and so is one that is not the shown certificate's.
//! A field that comes twice is refused. Signatures cover the target as the client sent it, so
//! the layer goes outside of whatever takes prefixes off paths.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use kakunin_core::time::Clock;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::content::poll_read;
use crate::denied::Denied;
use crate::dry_run::DryRun;
use crate::gate::{Begun, Gate};
use crate::guard::Guard;
use crate::possession::{Authorities, NonceFigures, Nonces};
use crate::report::Reporter;
use crate::target::plain;
use crate::verifier::Verifier;

pub use crate::content::Content;
pub use crate::gate::PeerCertificates;
pub use crate::presented::{Presented, Shown};

/// Most octets of signed content, unless the host says otherwise.
const MAX_CONTENT: usize = 2 * 1024 * 1024;

/// Lets in what certificates allow. Puts [`crate::Authorized`] into the extensions of each request it lets in,
/// and answers the others itself: `{"error":"<code>"}` with the status of the code.
///
/// The content of a signed request is read first, and has to be what the agent signed (RFC 9530); what comes over an
/// agent's own connection is handed on as it comes. How long a client may take to send it is for the host to say.
///
/// ```
/// # pollster::block_on(async {
/// # use kakunin_core::prelude::*;
/// # use kakunin_kms::local::LocalKeys;
/// # use std::sync::Arc;
/// #
/// # let mut config = Config::new("agents.example")?;
/// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
/// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
/// # let kakunin = Kakunin::open(config, parts).await?;
/// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
/// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
/// # let agent = acme.register(spec).await?;
/// # let key = KeySource::Provider(KeyAlgorithm::P256);
/// # let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
/// use http::{Request, Response};
/// use http_body_util::Empty;
/// use kakunin_verify::layer::{AgentLayer, Content, PeerCertificates};
/// use kakunin_verify::possession::Authorities;
/// use kakunin_verify::{Authorized, Verifier, target::Routes};
/// use tower_layer::Layer;
/// use tower_service::Service;
///
/// /// A service as any other; what the layer lets in carries a permission.
/// #[derive(Clone)]
/// struct Mail;
///
/// impl<B> Service<Request<Content<B>>> for Mail {
///     type Response = Response<String>;
///     type Error = std::convert::Infallible;
///     type Future = std::future::Ready<Result<Self::Response, Self::Error>>;
///
///     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
///         std::task::Poll::Ready(Ok(()))
///     }
///
///     fn call(&mut self, request: Request<Content<B>>) -> Self::Future {
///         let permission = request.extensions().get::<Authorized>().map(|p| p.action().to_string());
///         std::future::ready(Ok(Response::new(permission.unwrap_or_default())))
///     }
/// }
///
/// let verifier = Verifier::following(kakunin.clone()).build(SystemClock.now())?;
/// let routes = Routes::new().route("GET", "/mail", "read:mail")?;
/// let layer = AgentLayer::new(verifier, Arc::new(SystemClock), Authorities::none(), move |parts| routes.of(parts));
/// let mut service = layer.layer(Mail);
/// let mut asked = Request::get("/mail").body(Empty::<bytes::Bytes>::new())?;
/// assert_eq!(service.call(asked.clone()).await?.status(), 401, "nobody shows itself");
/// asked.extensions_mut().insert(PeerCertificates(vec![issued.der].into()));
/// assert_eq!(service.call(asked).await?.into_body(), "read:mail");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct AgentLayer(Arc<Gate>);

impl AgentLayer {
    /// A layer that asks `action` what each request wants to do, such as `write:payments`; a request for
    /// which it knows none is refused. [`Routes`](crate::target::Routes) know it by method and path. It is not asked
    /// about requests that can be read in more than one way (see [`crate::target`]): those are refused. Signed requests
    /// have to be for one of the names of `us`, under which agents reach the service: who forwards what an agent sent
    /// elsewhere is refused.
    #[must_use]
    pub fn new(
        verifier: Verifier,
        clock: Arc<dyn Clock>,
        us: Authorities,
        action: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let nonces = Arc::new(Nonces::new(Nonces::DEFAULT_CAPACITY, clock.now()));
        let action = move |parts: &Parts| plain(parts).ok().and_then(|()| action(parts));
        let (action, max_content) = (Arc::new(action), MAX_CONTENT);
        Self(Arc::new(Gate {
            verifier,
            guard: Guard::new(clock),
            action,
            proxy: None,
            us,
            nonces,
            max_content,
            dry_run: DryRun::new(),
        }))
    }

    /// Takes `Client-Cert` from requests of which `is_proxy` says that they come from a proxy that verified
    /// the client's possession, and that deletes the field where a client sends it.
    #[must_use]
    pub fn client_cert_from(self, is_proxy: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|gate| gate.proxy = Some(Arc::new(is_proxy)))
    }

    /// Tells `reporter` of each decision.
    #[must_use]
    pub fn report_to(self, reporter: impl Reporter + 'static) -> Self {
        self.with(|gate| gate.guard = gate.guard.clone().report_to(reporter))
    }

    /// Remembers up to `capacity` nonces of signed requests, if not [`Nonces::DEFAULT_CAPACITY`].
    #[must_use]
    pub fn nonce_capacity(self, capacity: usize) -> Self {
        self.with(|gate| gate.nonces = Arc::new(Nonces::new(capacity, gate.guard.now())))
    }

    /// Reads signed content of up to so many octets, if not 2 MiB.
    #[must_use]
    pub fn max_signed_content(self, octets: usize) -> Self {
        self.with(|gate| gate.max_content = octets)
    }

    /// Lets through what would be refused, where `dry_run` says so: to see first, in front of a service that is in use.
    /// Reporters are told of refusals as ever. Such a request carries a
    /// [`WouldDeny`](crate::dry_run::WouldDeny) in its extensions, and no [`crate::Authorized`].
    ///
    /// Refused even so: what can be read in more than one way; what says in `x-kakunin-cert-serial` or
    /// `x-kakunin-spiffe-id` that it is somebody's whom it did not show; and signed content that is too long, or breaks off.
    #[must_use]
    pub fn insecure_dry_run(self, dry_run: DryRun) -> Self {
        self.with(|gate| gate.dry_run = dry_run)
    }

    /// How full the memory of nonces is.
    #[must_use]
    pub fn nonces(&self) -> NonceFigures {
        self.0.nonces.figures()
    }

    // Clones made before keep what they had.
    fn with(mut self, change: impl FnOnce(&mut Gate)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Debug for AgentLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentLayer({:?})", self.0.verifier)
    }
}

impl<S> Layer<S> for AgentLayer {
    type Service = AgentService<S>;

    fn layer(&self, inner: S) -> AgentService<S> {
        AgentService { inner, gate: self.0.clone() }
    }
}

/// A service behind an [`AgentLayer`].
#[derive(Clone)]
pub struct AgentService<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S: fmt::Debug> fmt::Debug for AgentService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AgentService({:?})", self.inner)
    }
}

impl<S, B, R> Service<Request<B>> for AgentService<S>
where
    S: Service<Request<Content<B>>, Response = Response<R>> + Clone,
    B: Body<Data = Bytes>,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<S, B, S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let begun = match self.gate.begin(parts) {
            Ok(begun) => begun,
            Err(denied) => return Answer::refused(&denied),
        };
        if begun.is_signed() && !body.is_end_stream() {
            // The one that is ready goes; its copy stays.
            let copy = self.inner.clone();
            let inner = std::mem::replace(&mut self.inner, copy);
            let waiting = Waiting { inner, gate: self.gate.clone(), begun, octets: Vec::new() };
            return Answer { state: State::Reading { body, waiting: Some(Box::new(waiting)) } };
        }
        match self.gate.finish(begun, Ok(&[])) {
            Ok(parts) => {
                let request = Request::from_parts(parts, Content::coming(body));
                Answer { state: State::Asked { future: self.inner.call(request) } }
            }
            Err(denied) => Answer::refused(&denied),
        }
    }
}

pin_project! {
    /// The answer of a service behind an [`AgentLayer`], or the layer's own.
    pub struct Answer<S, B, F, R> {
        #[pin]
        state: State<S, B, F, R>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F, R> {
        Reading { #[pin] body: B, waiting: Option<Box<Waiting<S>>> },
        Asked { #[pin] future: F },
        Refused { response: Option<Response<R>> },
    }
}

/// What goes on once the content is read.
struct Waiting<S> {
    inner: S,
    gate: Arc<Gate>,
    begun: Begun,
    octets: Vec<u8>,
}

impl<S, B, F, R: From<String>> Answer<S, B, F, R> {
    fn refused(denied: &Denied) -> Self {
        Self { state: State::Refused { response: Some(refusal(denied)) } }
    }
}

impl<S, B, F, R> fmt::Debug for Answer<S, B, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl<S, B, R> Future for Answer<S, B, S::Future, R>
where
    S: Service<Request<Content<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
    R: From<String>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Asked { future } => return future.poll(cx),
                // Whoever polls again after the answer gets none.
                StateProjection::Refused { response } => {
                    return response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)));
                }
                StateProjection::Reading { body, waiting } => {
                    let Some(mut all) = waiting.take() else { return Poll::Pending };
                    let most = all.gate.max_content;
                    match poll_read(body, &mut all.octets, most, cx) {
                        Poll::Pending => {
                            *waiting = Some(all);
                            return Poll::Pending;
                        }
                        Poll::Ready(read) => all.go_on(read),
                    }
                }
            };
            state.set(next);
        }
    }
}

impl<S> Waiting<S> {
    fn go_on<B, R>(self, read: Result<(), Denied>) -> State<S, B, S::Future, R>
    where
        S: Service<Request<Content<B>>, Response = Response<R>>,
        R: From<String>,
    {
        let Self { mut inner, gate, begun, octets } = self;
        match gate.finish(begun, read.map(|()| &*octets)) {
            Ok(parts) => {
                let request = Request::from_parts(parts, Content::read(octets));
                State::Asked { future: inner.call(request) }
            }
            Err(denied) => State::Refused { response: Some(refusal(&denied)) },
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
    if denied.http_status() == 429 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if denied.http_status() == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Signature tag=\"kakunin-request\""));
    }
    response
}
