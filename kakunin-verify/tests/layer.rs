//! The layer: whom it lets in, and whom it refuses.
#![cfg(feature = "tower")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use common::request::*;
use common::site::*;
use common::*;
use http::Request;
use kakunin_core::revoke::{Reason, RevokedSet};
use kakunin_core::time::SECOND;
use kakunin_verify::Snapshot;
use kakunin_verify::layer::PeerCertificates;
use kakunin_verify::possession::{CERTIFICATE_HEADER, MAX_AGE, SERIAL_HEADER, write_certificates};
use kakunin_verify::report::{Decision, Reporter};
use tower_service::Service;

type Nothing = http_body_util::Full<bytes::Bytes>;

#[test]
fn each_way_to_show_possession_leads_in() {
    let site = Site::new();
    let layer = site.layer().client_cert_from(|request| request.headers.contains_key("x-from-proxy"));
    let chain = write_certificates(&[&site.world.issuing_der]);
    let by_proxy = || post().header("x-from-proxy", "1").header("client-cert", site.header());
    for (what, request) in [
        ("mutual TLS", site.by_tls()),
        ("a proxy", by_proxy()),
        ("a proxy, with the chain", by_proxy().header("client-cert-chain", chain)),
        ("a signature", site.signed("a")),
        ("a signature behind a proxy", site.signed("b").header("x-from-proxy", "1")),
        ("TLS, whatever a client-cert says", site.by_tls().header("client-cert", "x")),
        ("its own serial beside", site.by_tls().header(SERIAL_HEADER, leaf_serial().to_string())),
    ] {
        let response = site.ask(&layer, request);
        assert_eq!(response.body(), "write:payments by 01923456-789a-7fff-bfff-ffffffffffff", "{what}");
    }
    assert_eq!(site.calls(), 7);
}

#[test]
fn a_refusal_is_an_answer_of_its_own() {
    let site = Site::new();
    let response = site.ask(&site.layer(), post());
    assert_eq!(
        (response.status().as_u16(), response.body().as_str()),
        (401, r#"{"error":"certificate_missing"}"#)
    );
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("www-authenticate", r#"Signature tag="kakunin-request""#),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let forbidden = Request::post("/accounts").extension(PeerCertificates([site.world.leaf_der()].into()));
    let response = site.ask(&site.layer(), forbidden);
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (403, "scope_violation"));
    assert!(!response.headers().contains_key("www-authenticate"));
}

#[test]
fn what_proves_nothing_is_refused() {
    let site = Site::new();
    let layer = site.layer();
    let serial = leaf_serial().to_string();
    let other = "4B".repeat(16);
    let cases = [
        ("a bare serial", post().header(SERIAL_HEADER, &serial), "possession_missing"),
        ("two", post().header(SERIAL_HEADER, &serial).header(SERIAL_HEADER, &serial), "possession_missing"),
        ("a bare certificate", post().header(CERTIFICATE_HEADER, site.header()), "possession_missing"),
        (
            "half a signature",
            post().header(CERTIFICATE_HEADER, site.header()).header("signature", "kakunin=:AAAA:"),
            "possession_missing",
        ),
        ("a client-cert of a stranger", post().header("client-cert", site.header()), "certificate_missing"),
        ("no certificate in TLS", post().extension(PeerCertificates([].into())), "certificate_missing"),
        ("no certificate at all", post().header(CERTIFICATE_HEADER, "x"), "certificate_malformed"),
        ("an action that is none", site.by_tls().uri("/pay/*"), "action_malformed"),
        ("a method without an action", site.by_tls().method("GET"), "action_malformed"),
        ("another method", site.signed("b").method("PUT"), "possession_invalid"),
        ("another target", site.signed("c").uri("/payments?to=mallory"), "possession_invalid"),
        ("another's serial beside", site.by_tls().header(SERIAL_HEADER, &other), "possession_invalid"),
        ("another's serial, signed", site.signed("d").header(SERIAL_HEADER, other), "possession_invalid"),
    ];
    for (what, request, expected) in cases {
        assert_eq!(site.code(&layer, request), expected, "{what}");
    }
    assert_eq!(site.calls(), 0);
}

#[test]
fn a_field_that_comes_twice_is_refused() {
    let site = Site::new();
    let layer = site.layer().client_cert_from(|request| request.headers.contains_key("x-from-proxy"));
    for name in [CERTIFICATE_HEADER, "signature-input", "signature"] {
        let twice = site.signed(name);
        let value = twice.headers_ref().unwrap()[name].clone();
        assert_eq!(site.code(&layer, twice.header(name, value)), "possession_invalid", "{name}");
    }
    let by_proxy = || post().header("x-from-proxy", "1").header("client-cert", site.header());
    let chain = write_certificates(&[&site.world.issuing_der]);
    for (what, request, expected) in [
        ("two client-certs", by_proxy().header("client-cert", site.header()), "possession_invalid"),
        (
            "two chains",
            by_proxy().header("client-cert-chain", &chain).header("client-cert-chain", &chain),
            "possession_invalid",
        ),
        (
            "a list for a client-cert",
            post().header("x-from-proxy", "1").header("client-cert", format!("{}, {chain}", site.header())),
            "certificate_malformed",
        ),
        (
            "two serials",
            site.by_tls().header(SERIAL_HEADER, "a").header(SERIAL_HEADER, "b"),
            "possession_invalid",
        ),
    ] {
        assert_eq!(site.code(&layer, request), expected, "{what}");
    }
    assert_eq!(site.calls(), 0);
}

#[test]
fn client_cert_is_believed_only_from_a_proxy() {
    let site = Site::new();
    let spoofed = || post().header("client-cert", site.header());
    assert_eq!(site.code(&site.layer(), spoofed()), "certificate_missing", "no proxy is known");
    let layer = site.layer().client_cert_from(|request| request.headers.contains_key("x-from-proxy"));
    assert_eq!(site.code(&layer, spoofed()), "certificate_missing", "not from the proxy");
    assert_eq!(site.code(&layer, spoofed().header("x-from-proxy", "1")), "allowed");
    // What is ignored does not spoil what is good, nor is it mixed with it.
    assert_eq!(
        site.code(&layer, site.signed("a").header("client-cert", "x").header("client-cert", "y")),
        "allowed"
    );
}

#[test]
fn a_signed_request_is_good_once_for_all_clones() {
    let site = Site::new();
    let layer = site.layer();
    let mut service = site.service(&layer);
    assert_eq!(code(&call(&mut service, site.signed("a"))), "allowed");
    let again = site.signed("a");
    assert_eq!(code(&call(&mut service.clone(), again)), "possession_replayed");
    assert_eq!(site.code(&layer, site.signed("a")), "possession_replayed");
    site.clock.set(NOW.plus(MAX_AGE + 1));
    assert_eq!(site.code(&layer, site.signed("b")), "possession_stale");
    site.clock.set(NOW);
    let full = site.layer().nonce_capacity(1);
    assert_eq!(site.code(&full, site.signed("a")), "allowed");
    let response = site.ask(&full, site.signed("b"));
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (429, "possession_unavailable"));
    assert_eq!((&response.headers()["retry-after"], full.nonces().refused), (&"1".parse().unwrap(), 1));
}

#[test]
fn a_layer_that_is_new_refuses_what_was_signed_before_it() {
    let site = Site::new();
    site.clock.set(NOW.plus(1));
    assert_eq!(site.code(&site.layer(), site.signed("a")), "possession_stale");
}

#[test]
fn what_was_signed_for_another_service_is_refused_by_this_one() {
    let site = Site::new();
    let layer = site.layer();
    for (number, host) in ["evil.example", "api.example.org", "EVIL.example:443"].iter().enumerate() {
        let relayed = site.signed_with(&format!("r{number}"), "evil.example", b"").header("host", *host);
        assert!(site.code(&layer, relayed).starts_with("possession_"), "{host}");
    }
    let relayed = site.signed_with("a", "evil.example", b"").header("host", "evil.example");
    assert_eq!(site.code(&layer, relayed), "possession_misdirected");
    assert_eq!((layer.nonces().held, site.calls()), (0, 0));
}

#[test]
fn content_is_read_before_anybody_acts_on_it() {
    let (site, content) = (Site::new(), b"{\"to\":\"acme\"}");
    let layer = site.layer().max_signed_content(64);
    let good = |nonce: &str| site.signed_with(nonce, HOST, content);
    let allowed = site.send(&layer, good("a"), content);
    assert!(allowed.body().ends_with("{\"to\":\"acme\"}"), "{allowed:?}");
    // Over the agent's own connection nothing has to be signed.
    assert_eq!(site.send(&layer, site.by_tls(), content).status(), 200);
    assert_eq!(site.calls(), 2);
    for (what, request, sent, expected) in [
        ("other content", good("b"), &b"{\"to\":\"evil\"}"[..], "possession_invalid"),
        ("no content", good("c"), b"", "possession_invalid"),
        ("content that was not signed", site.signed("d"), content, "possession_invalid"),
        ("a replay", good("a"), content, "possession_replayed"),
        ("too much", good("e"), &[b'x'; 65], "content_too_large"),
    ] {
        assert_eq!(code(&site.send(&layer, request, sent)), expected, "{what}");
    }
    assert_eq!((site.calls(), layer.nonces().held), (2, 1), "what is refused uses nothing up");
    assert_eq!(site.send(&layer, good("b"), content).status(), 200);
}

/// Comes in pieces, each of which is waited for once; one may be lost.
struct Pieces(Vec<Option<&'static [u8]>>, bool);

impl http_body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, &'static str>>> {
        self.1 = !self.1;
        if self.1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = if self.0.is_empty() { None } else { Some(self.0.remove(0)) };
        Poll::Ready(
            next.map(|piece| piece.map(|p| http_body::Frame::data(p.into())).ok_or("the client is gone")),
        )
    }
}

#[test]
fn content_that_comes_in_pieces_is_whole_before_it_is_handed_on_and_half_of_it_is_nothing() {
    let site = Site::new();
    let layer = site.layer();
    let send = |request: http::request::Builder, pieces: Vec<Option<&'static [u8]>>| {
        let mut service = site.service(&layer);
        pollster::block_on(async {
            poll_ready(&mut service).await;
            service.call(request.body(Pieces(pieces, false)).unwrap()).await.unwrap()
        })
    };
    let signed = || site.signed_with("a", HOST, b"one two");
    assert_eq!(code(&send(signed(), vec![Some(b"one"), None])), "possession_invalid");
    assert_eq!(code(&send(signed(), vec![Some(b"one")])), "possession_invalid");
    assert_eq!(site.calls(), 0);
    let whole = send(signed(), vec![Some(b"one"), Some(b""), Some(b" two")]);
    assert!(whole.body().ends_with("one two"), "{whole:?}");
}

#[test]
fn what_does_not_stand_costs_no_memory_and_is_nobodys_doing() {
    struct Count(Arc<AtomicUsize>);
    impl Reporter for Count {
        fn report(&self, decision: Decision) {
            assert_eq!(decision.attribution, kakunin_core::event::Attribution::Asserted);
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (site, count) = (Site::new(), Arc::new(AtomicUsize::new(0)));
    let layer = site.layer().report_to(Count(count.clone()));
    let id = site.world.issuing.key.id();
    for (reason, expected) in
        [(Reason::KeyCompromise, "agent_revoked"), (Reason::CertificateHold, "agent_inactive")]
    {
        let revoked = RevokedSet::from_entries([(leaf_serial(), reason)]);
        site.revocations.publish(Snapshot::new(NOW).with(id, revoked));
        for n in 0..50 {
            assert_eq!(site.code(&layer, site.signed(&n.to_string())), expected);
        }
    }
    assert_eq!((layer.nonces().held, count.load(Ordering::Relaxed)), (0, 100));
}

#[test]
fn whatever_the_request_says_of_its_host_is_one_thing_and_not_believed() {
    let site = Site::new();
    let layer = site.layer();
    let mut number = 0;
    let mut ask = |uri: &str, host: &[&str]| {
        number += 1;
        let request = site.signed(&format!("h{number}")).uri(uri);
        site.code(&layer, host.iter().fold(request, |request, host| request.header("host", *host)))
    };
    let (http_2, other) =
        (format!("https://api.example.org{TARGET}"), format!("https://other.example{TARGET}"));
    for (uri, host, expected) in [
        (TARGET, &["API.example.org"][..], "allowed"),
        (&http_2, &[], "allowed"),
        (&http_2, &["api.EXAMPLE.org"], "allowed"),
        (TARGET, &[], "allowed"),
        // As a proxy in between may call it.
        (TARGET, &["other.example"], "allowed"),
        (&other, &[], "allowed"),
        (TARGET, &["api.example.org", "api.example.org"], "possession_invalid"),
        (&other, &["api.example.org"], "possession_invalid"),
        (&http_2, &["other.example"], "possession_invalid"),
    ] {
        assert_eq!(ask(uri, host), expected, "{uri} {host:?}");
    }
}

#[test]
fn a_revocation_is_seen_by_the_next_call_of_a_connection() {
    let site = Site::new();
    let mut connection = site.service(&site.layer());
    let id = site.world.issuing.key.id();
    for (reason, expected) in [
        (None, "allowed"),
        (Some(Reason::CertificateHold), "agent_inactive"),
        (None, "allowed"),
        (Some(Reason::KeyCompromise), "agent_revoked"),
    ] {
        let revoked = reason.map(|reason| (leaf_serial(), reason));
        site.revocations.publish(Snapshot::new(NOW).with(id, RevokedSet::from_entries(revoked)));
        assert_eq!(code(&call(&mut connection, site.by_tls())), expected);
    }
    site.revocations.publish(Snapshot::new(NOW).with(id, RevokedSet::default()));
    site.clock.set(NOW.plus(21 * SECOND));
    let response = call(&mut connection, site.by_tls());
    assert_eq!((response.status().as_u16(), code(&response).as_str()), (503, "verify_unavailable"));
    assert_eq!(site.calls(), 2);
}

#[test]
fn a_layer_that_was_cloned_can_still_be_set_up() {
    struct Count(Arc<AtomicUsize>);
    impl Reporter for Count {
        fn report(&self, _: Decision) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (site, count) = (Site::new(), Arc::new(AtomicUsize::new(0)));
    let first = site.layer();
    let second = first.clone().report_to(Count(count.clone())).client_cert_from(|_| true);
    assert_eq!(site.code(&second, post().header("client-cert", site.header())), "allowed");
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(site.code(&first, post().header("client-cert", site.header())), "certificate_missing");
    assert_eq!(count.load(Ordering::Relaxed), 1, "the first is as it was");
    // They guard the same requests, so what proved possession to one is used up for the other.
    assert_eq!(site.code(&first, site.signed("a")), "allowed");
    assert_eq!(site.code(&second, site.signed("a")), "possession_replayed");
}

#[test]
fn readiness_is_the_inner_services() {
    let site = Site::new();
    let mut service = site.service(&site.layer());
    let mut cx = Context::from_waker(Waker::noop());
    let mut ready = |service: &mut _| Service::<Request<Nothing>>::poll_ready(service, &mut cx);
    assert!(ready(&mut service).is_pending());
    assert!(ready(&mut service).is_ready());
    // Only the service that became ready is called, also after a clone was taken; `Inner` sees to it.
    let clone = service.clone();
    let answer = service.call(site.by_tls().body(Nothing::default()).unwrap());
    assert_eq!(pollster::block_on(answer).unwrap().status(), 200);
    drop(clone);
    // A refusal leaves the inner service ready.
    let _ = std::iter::repeat_with(|| ready(&mut service)).find(Poll::is_ready).unwrap();
    let answer = service.call(post().body(Nothing::default()).unwrap());
    assert_eq!(pollster::block_on(answer).unwrap().status(), 401);
    assert!(ready(&mut service).is_ready());
    assert_eq!(site.calls(), 1);
}
