//! The tower layer: who gets in, who does not, and what is reported.

#![cfg(feature = "tower")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test that cannot go on has failed; not every test uses all of `common`"
)]

mod common;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{NOW, World};
use http::{Request, Response};
use kakunin_core::crypto::Backend;
use kakunin_core::event::{Attribution, Outcome};
use kakunin_core::key::{KeyAlgorithm, Signature};
use kakunin_core::revoke::{Reason, RevokedSet};
use kakunin_core::time::ManualClock;
use kakunin_verify::denied::Code;
use kakunin_verify::layer::{AgentLayer, AgentService, PeerCertificates};
use kakunin_verify::possession::{CERTIFICATE_HEADER, RequestToSign, write_certificates};
use kakunin_verify::report::{Decisions, queue};
use kakunin_verify::{Authorized, RevocationHandle, Snapshot, Verifier};
use tower_layer::Layer;
use tower_service::Service;

/// Answers with who was let in, and counts.
#[derive(Clone)]
struct Inner(Arc<AtomicUsize>);

impl Service<Request<()>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        let who = request.extensions().get::<Authorized>().unwrap().agent().serial().to_string();
        ready(Ok(Response::new(who)))
    }
}

struct Gate {
    world: World,
    service: AgentService<Inner>,
    reached: Arc<AtomicUsize>,
    decisions: Decisions,
    revocations: RevocationHandle,
}

fn gate(with: impl FnOnce(AgentLayer) -> AgentLayer) -> Gate {
    let world = World::p256();
    let revocations = world.revocations();
    let verifier = Verifier::builder(revocations.clone())
        .anchor(world.anchor())
        .issuer(world.issuing_der.clone())
        .backend(Backend::fastest())
        .build(NOW)
        .unwrap();
    let (reporter, decisions) = queue(64);
    let action = |parts: &http::request::Parts| match (parts.method.as_str(), parts.uri.path()) {
        ("GET", "/accounts") => Some("read:accounts/7".to_owned()),
        ("DELETE", "/accounts") => Some("delete:accounts".to_owned()),
        _ => None,
    };
    let layer = AgentLayer::new(verifier, Arc::new(ManualClock::at(NOW)), action).report_to(reporter);
    let reached = Arc::new(AtomicUsize::new(0));
    let service = with(layer).layer(Inner(reached.clone()));
    Gate { world, service, reached, decisions, revocations }
}

impl Gate {
    fn call(&mut self, request: Request<()>) -> (u16, String) {
        let answer = pollster::block_on(self.service.call(request)).unwrap();
        (answer.status().as_u16(), answer.into_body())
    }

    fn refused(&mut self, request: Request<()>) -> String {
        let before = self.reached.load(Ordering::Relaxed);
        let (status, body) = self.call(request);
        assert!([401, 403, 503].contains(&status), "{status}");
        assert_eq!(self.reached.load(Ordering::Relaxed), before, "the service was not asked");
        serde_json::from_str::<serde_json::Value>(&body).unwrap()["error"].as_str().unwrap().to_owned()
    }

    fn with_tls(&self, method: &str, path: &str) -> Request<()> {
        let mut request = Request::builder().method(method).uri(path).body(()).unwrap();
        request.extensions_mut().insert(PeerCertificates(vec![self.world.leaf_der()].into()));
        request
    }

    fn signed(&self, method: &str, path: &str, nonce: &str) -> Request<()> {
        let serial = "42".repeat(16).parse().unwrap();
        let der = self.world.leaf_der();
        let view = kakunin_core::x509::certificate::CertificateView::parse(
            &der,
            &kakunin_core::x509::oid::Arc::default(),
        );
        let serial = view.unwrap().serial().unwrap_or(serial);
        let request = RequestToSign::new(method, path, &serial, KeyAlgorithm::P256, nonce, NOW);
        let signature = Signature::new(self.world.leaf_key.sign(request.to_be_signed()));
        Request::builder()
            .method(method)
            .uri(path)
            .header(CERTIFICATE_HEADER, write_certificates(&[&der]))
            .header("signature-input", request.signature_input())
            .header("signature", request.signature(&signature).unwrap())
            .body(())
            .unwrap()
    }
}

#[test]
fn tls_and_signatures_let_in_what_the_certificate_allows() {
    let mut gate = gate(|layer| layer);
    let (tls, signed) =
        (gate.with_tls("GET", "/accounts"), gate.signed("GET", "/accounts", "nonce-0123456789"));
    assert_eq!(gate.call(tls).0, 200);
    assert_eq!(gate.call(signed.clone()).0, 200);
    assert_eq!(gate.refused(signed), "possession_replayed");
    let forbidden = gate.with_tls("DELETE", "/accounts");
    assert_eq!(gate.refused(forbidden), "scope_violation");
    let unknown = gate.with_tls("GET", "/elsewhere");
    assert_eq!(gate.refused(unknown), "action_malformed");
    assert_eq!(gate.reached.load(Ordering::Relaxed), 2);
    let reported = gate.decisions.next_batch(100, Duration::ZERO).unwrap();
    let refusals: Vec<_> = reported.iter().map(|d| d.refusal).collect();
    let expected =
        [None, None, Some(Code::PossessionReplayed), Some(Code::ScopeViolation), Some(Code::ActionMalformed)];
    assert_eq!(refusals, expected);
    assert_eq!(reported[2].attribution, Attribution::Asserted, "a replay is not the agent's own act");
    let event = reported[3].event().unwrap();
    assert!(
        event.out_of_scope
            && event.outcome == Outcome::Denied
            && event.attribution == Attribution::Possession
    );
    assert!(reported[0].event().is_some_and(|e| e.outcome == Outcome::Ok) && reported[4].event().is_none());
}

#[test]
fn a_name_is_no_proof() {
    let mut gate = gate(|layer| layer);
    let ask = |name: &'static str, value: String| {
        Request::builder().uri("/accounts").header(name, value).body(()).unwrap()
    };
    let leaf = write_certificates(&[gate.world.leaf_der()]);
    assert_eq!(gate.refused(Request::builder().uri("/accounts").body(()).unwrap()), "certificate_missing");
    assert_eq!(gate.refused(ask("x-kakunin-cert-serial", "42".repeat(16))), "possession_missing");
    assert_eq!(gate.refused(ask(CERTIFICATE_HEADER, leaf.clone())), "possession_missing");
    assert_eq!(gate.refused(ask("client-cert", leaf.clone())), "certificate_missing", "nobody is a proxy");
    let mut twice = gate.signed("GET", "/accounts", "nonce-0123456789");
    twice.headers_mut().append("signature", "kakunin=:AA==:".parse().unwrap());
    assert_eq!(gate.refused(twice), "possession_invalid");
    assert_eq!(gate.reached.load(Ordering::Relaxed), 0);
}

#[test]
fn a_proxy_is_believed_and_nobody_else() {
    let mut gate = gate(|layer| layer.client_cert_from(|parts| parts.headers.contains_key("x-from-proxy")));
    let leaf = write_certificates(&[gate.world.leaf_der()]);
    let ask = |proxy: bool| {
        let request = Request::builder().uri("/accounts").header("client-cert", &leaf);
        let request = if proxy { request.header("x-from-proxy", "1") } else { request };
        request.body(()).unwrap()
    };
    assert_eq!(gate.call(ask(true)).0, 200);
    assert_eq!(gate.refused(ask(false)), "certificate_missing");
}

#[test]
fn revocation_is_seen_by_the_next_call_of_the_same_connection() {
    let mut gate = gate(|layer| layer);
    let request = gate.with_tls("GET", "/accounts");
    let (status, serial) = gate.call(request.clone());
    assert_eq!(status, 200);
    let revoked = RevokedSet::from_entries([(serial.parse().unwrap(), Reason::PrivilegeWithdrawn)]);
    gate.revocations.publish(Snapshot::new(NOW).with(gate.world.issuing.key.id(), revoked));
    assert_eq!(gate.refused(request), "agent_revoked");
}

#[test]
fn a_full_queue_keeps_nobody_waiting() {
    let (reporter, decisions) = queue(1);
    let counter = reporter.clone();
    let mut gate = gate(|layer| layer.report_to(reporter));
    for _ in 0..10 {
        let request = gate.with_tls("GET", "/accounts");
        assert_eq!(gate.call(request).0, 200);
    }
    assert_eq!(counter.dropped(), 9);
    assert_eq!(decisions.next_batch(100, Duration::ZERO).unwrap().len(), 1);
    assert_eq!(decisions.next_batch(100, Duration::ZERO).unwrap().len(), 0);
    drop((gate, counter));
    assert!(decisions.next_batch(100, Duration::ZERO).is_none(), "nobody reports any more");
}
