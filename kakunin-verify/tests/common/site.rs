//! A service behind the layer, with an agent who asks it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::{Builder, Parts};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use kakunin_core::time::ManualClock;
use kakunin_verify::dry_run::WouldDeny;
use kakunin_verify::layer::{AgentLayer, AgentService, Content, PeerCertificates};
use kakunin_verify::possession::{CERTIFICATE_HEADER, write_certificates};
use kakunin_verify::{Authorized, RevocationHandle, Verifier};
use tower_layer::Layer;
use tower_service::Service;

use super::request::*;
use super::{NOW, World};

/// Says who may do what, and counts how often it is asked; ready at every second poll.
#[derive(Default)]
pub struct Inner {
    calls: Arc<AtomicUsize>,
    polls: usize,
    ready: bool,
}

// A clone has to become ready by itself.
impl Clone for Inner {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), ..Self::default() }
    }
}

impl<B> Service<Request<Content<B>>> for Inner
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.polls += 1;
        self.ready = self.ready || self.polls.is_multiple_of(2);
        if self.ready {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, request: Request<Content<B>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        self.calls.fetch_add(1, Ordering::Relaxed);
        let text = match (request.extensions().get::<Authorized>(), request.extensions().get::<WouldDeny>()) {
            (Some(authorized), None) => format!("{} by {}", authorized.action(), authorized.agent().agent()),
            (None, Some(would)) => {
                let agent = would.agent().map_or("nobody".to_owned(), |agent| agent.agent().to_string());
                format!("{} to {agent}", would.denied().code())
            }
            both => panic!("{both:?}"),
        };
        let content = pollster::block_on(request.into_body().collect()).unwrap().to_bytes();
        ready(Ok(Response::new(text + &String::from_utf8_lossy(&content))))
    }
}

/// A world with an agent, a clock, and what is known of revocations.
pub struct Site {
    pub world: World,
    pub clock: Arc<ManualClock>,
    pub revocations: RevocationHandle,
    pub calls: Arc<AtomicUsize>,
}

pub fn action(request: &Parts) -> Option<String> {
    match (request.method.as_str(), request.uri.path()) {
        ("POST", path) => Some(format!("write:{}", path.trim_start_matches('/'))),
        _ => None,
    }
}

impl Site {
    pub fn new() -> Self {
        let world = World::p256();
        let revocations = world.revocations();
        Self { world, clock: Arc::new(ManualClock::at(NOW)), revocations, calls: Arc::default() }
    }

    pub fn layer(&self) -> AgentLayer {
        self.layer_for(action)
    }

    pub fn layer_for(&self, action: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> AgentLayer {
        let verifier = Verifier::builder(self.revocations.clone())
            .anchor(self.world.anchor())
            .issuer(self.world.issuing_der.clone());
        AgentLayer::new(verifier.build(NOW).unwrap(), self.clock.clone(), us(), action)
    }

    pub fn service(&self, layer: &AgentLayer) -> AgentService<Inner> {
        layer.layer(Inner { calls: self.calls.clone(), ..Inner::default() })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// What a new service behind `layer` answers, and whether the inner service was asked.
    pub fn ask(&self, layer: &AgentLayer, request: Builder) -> Response<String> {
        let before = self.calls();
        let response = call(&mut self.service(layer), request);
        assert_eq!(self.calls() > before, response.status() == 200, "{response:?}");
        response
    }

    pub fn code(&self, layer: &AgentLayer, request: Builder) -> String {
        code(&self.ask(layer, request))
    }

    pub fn header(&self) -> String {
        write_certificates(&[self.world.leaf_der()])
    }

    pub fn signed(&self, nonce: &str) -> Builder {
        let (input, signature) =
            signed(&self.world.leaf_key, "POST", TARGET, &format!("{NONCE}{nonce}"), NOW);
        post()
            .header(CERTIFICATE_HEADER, self.header())
            .header("signature-input", input)
            .header("signature", signature)
    }

    /// Signed with its content.
    pub fn signed_with(&self, nonce: &str, host: &str, content: &[u8]) -> Builder {
        let key = &self.world.leaf_key;
        let request = to_sign(key, ("POST", TARGET, content), host, &format!("{NONCE}{nonce}"), NOW);
        let signature = kakunin_core::key::Signature::new(key.sign(request.to_be_signed()));
        let fields = post()
            .header(CERTIFICATE_HEADER, self.header())
            .header("signature-input", request.signature_input())
            .header("signature", request.signature(&signature).unwrap());
        request
            .content_digest()
            .into_iter()
            .fold(fields, |fields, digest| fields.header("content-digest", digest))
    }

    /// What a new service behind `layer` answers to a request with content.
    pub fn send(&self, layer: &AgentLayer, request: Builder, content: &[u8]) -> Response<String> {
        let mut service = self.service(layer);
        pollster::block_on(async {
            poll_ready(&mut service).await;
            service.call(request.body(Full::from(content.to_vec())).unwrap()).await.unwrap()
        })
    }

    pub fn by_tls(&self) -> Builder {
        post().extension(PeerCertificates([self.world.leaf_der()].into()))
    }
}

pub fn post() -> Builder {
    Request::post(TARGET)
}

pub async fn poll_ready(service: &mut AgentService<Inner>) {
    std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(service, cx)).await.unwrap();
}

pub fn call(service: &mut AgentService<Inner>, request: Builder) -> Response<String> {
    pollster::block_on(async {
        poll_ready(service).await;
        service.call(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap()
    })
}

pub fn code(response: &Response<String>) -> String {
    match response.body().strip_prefix("{\"error\":\"").and_then(|rest| rest.strip_suffix("\"}")) {
        Some(code) => code.to_owned(),
        None => "allowed".to_owned(),
    }
}
