//! The layer in a dry run: what it lets through, as whose, and what it refuses all the same.
#![cfg(feature = "tower")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;
#[path = "common/hostile.rs"]
mod hostile;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use common::request::*;
use common::site::*;
use common::*;
use hostile::{resources, table};
use http::Request;
use http::request::Builder;
use kakunin_core::event::{Attribution, Outcome};
use kakunin_core::revoke::{Reason, RevokedSet};
use kakunin_verify::Snapshot;
use kakunin_verify::denied::Code;
use kakunin_verify::dry_run::DryRun;
use kakunin_verify::layer::{AgentLayer, PeerCertificates};
use kakunin_verify::possession::{CERTIFICATE_HEADER, SERIAL_HEADER, SPIFFE_ID_HEADER};
use kakunin_verify::report::Decision;

const AGENT: &str = "01923456-789a-7fff-bfff-ffffffffffff";

fn of_route(pattern: &str) -> DryRun {
    DryRun::new().route(pattern.parse().unwrap())
}

fn of_tenant(site: &Site) -> DryRun {
    let leaf = site.world.leaf_der();
    let verifier = kakunin_verify::Verifier::builder(site.revocations.clone())
        .anchor(site.world.anchor())
        .issuer(site.world.issuing_der.clone());
    DryRun::new().tenant(verifier.build(NOW).unwrap().verify(&[leaf], NOW).unwrap().tenant().clone())
}

fn revoke(site: &Site, reason: Reason) {
    let revoked = RevokedSet::from_entries([(leaf_serial(), reason)]);
    site.revocations.publish(Snapshot::new(NOW).with(site.world.issuing.key.id(), revoked));
}

/// Beyond its scope.
fn accounts(site: &Site) -> Builder {
    Request::post("/accounts").extension(PeerCertificates([site.world.leaf_der()].into()))
}

fn says(site: &Site, layer: &AgentLayer, request: Builder) -> String {
    let response = site.ask(layer, request);
    if response.status() == 200 { response.body().clone() } else { code(&response) }
}

#[test]
fn what_would_be_refused_is_reported_as_if_it_were_and_let_through_without_a_permission() {
    let (site, told) = (Site::new(), Arc::new(Mutex::new(Vec::new())));
    let kept = told.clone();
    let layer = site
        .layer()
        .report_to(move |decision: Decision| kept.lock().unwrap().push(decision))
        .insecure_dry_run(of_tenant(&site));
    assert_eq!(says(&site, &layer, site.by_tls()), format!("write:payments by {AGENT}"), "as ever");
    assert_eq!(says(&site, &layer, accounts(&site)), format!("scope_violation to {AGENT}"));
    let decisions = std::mem::take(&mut *told.lock().unwrap());
    let event = decisions[1].event().unwrap();
    assert_eq!((decisions.len(), decisions[1].refusal), (2, Some(Code::ScopeViolation)));
    assert_eq!((event.outcome, event.out_of_scope), (Outcome::Denied, true));
    assert_eq!(event.attribution, Attribution::Possession);
    // Whoever shows nothing is of no tenant.
    for (request, expected) in [
        (post(), "certificate_missing"),
        (post().header(CERTIFICATE_HEADER, site.header()), "possession_missing"),
        (post().header(SERIAL_HEADER, leaf_serial().to_string()), "possession_missing"),
    ] {
        assert_eq!(says(&site, &layer, request), expected);
    }
    assert_eq!(says(&site, &layer, site.signed("a")), format!("write:payments by {AGENT}"));
    assert_eq!(says(&site, &layer, site.signed("a")), "possession_replayed", "it may be anybody's");
    assert_eq!(told.lock().unwrap().len(), 5);
}

#[test]
fn who_is_revoked_is_let_through_as_nobody_and_refused_once_it_is_over() {
    for (reason, code) in
        [(Reason::KeyCompromise, "agent_revoked"), (Reason::CertificateHold, "agent_inactive")]
    {
        let site = Site::new();
        let layer = site.layer();
        let dry = layer.clone().insecure_dry_run(of_tenant(&site));
        revoke(&site, reason);
        assert_eq!(says(&site, &dry, site.by_tls()), format!("{code} to nobody"));
        assert_eq!(says(&site, &dry, site.signed("a")), format!("{code} to nobody"));
        assert_eq!(
            (says(&site, &layer, site.by_tls()), says(&site, &layer, site.signed("b"))),
            (code.into(), code.into())
        );
        let off = dry.insecure_dry_run(DryRun::new());
        assert_eq!(says(&site, &off, site.by_tls()), code);
        assert_eq!(layer.nonces().held, 0);
    }
}

/// Whether its signature was used before nobody looked at.
#[test]
fn who_is_released_in_this_very_moment_is_nobody_in_this_request() {
    let site = Site::new();
    let (revocations, issuer) = (site.revocations.clone(), site.world.issuing.key.id());
    let release = move |_: Decision| {
        revocations.publish(Snapshot::new(NOW).with(issuer, RevokedSet::default()));
    };
    let layer = site.layer().report_to(release).insecure_dry_run(of_tenant(&site));
    revoke(&site, Reason::CertificateHold);
    assert_eq!(says(&site, &layer, site.signed("a")), "agent_inactive to nobody");
    assert_eq!(says(&site, &layer, site.signed("a")), format!("write:payments by {AGENT}"));
}

#[test]
fn a_route_is_open_to_everybody_and_the_next_one_to_nobody() {
    let site = Site::new();
    let layer = site.layer().insecure_dry_run(of_route("POST /payments"));
    for (request, expected) in [
        (post(), "certificate_missing to nobody"),
        (post().header(CERTIFICATE_HEADER, site.header()), "possession_missing to nobody"),
        (post().header(CERTIFICATE_HEADER, "rubbish"), "certificate_malformed to nobody"),
        (Request::get(TARGET), "certificate_missing"),
        (Request::post("/payments/1"), "certificate_missing"),
        (Request::post("/accounts"), "certificate_missing"),
        (accounts(&site), "scope_violation"),
    ] {
        assert_eq!(says(&site, &layer, request), expected);
    }
    let unmapped = site.layer().insecure_dry_run(of_route("/payments"));
    let asked = || Request::get("/payments").extension(PeerCertificates([site.world.leaf_der()].into()));
    assert_eq!(says(&site, &unmapped, asked()), format!("action_malformed to {AGENT}"));
}

#[test]
fn what_says_that_it_is_somebody_elses_is_refused_in_a_dry_run_too() {
    let site = Site::new();
    let layer = site.layer().insecure_dry_run(of_route("/*"));
    let (own, other) = (leaf_serial().to_string(), "4B".repeat(16));
    for (request, expected) in [
        (post().header(SERIAL_HEADER, &own), "possession_missing"),
        (post().header(SPIFFE_ID_HEADER, "spiffe://agents.example/x"), "certificate_missing"),
        (site.by_tls().header(SERIAL_HEADER, &other), "possession_invalid"),
        (accounts(&site).header(SPIFFE_ID_HEADER, "spiffe://agents.example/x"), "scope_violation"),
        (accounts(&site).header(SERIAL_HEADER, &own).header(SERIAL_HEADER, &other), "possession_invalid"),
        (post().header(SERIAL_HEADER, ""), "possession_missing to nobody"),
    ] {
        assert_eq!(says(&site, &layer, request), expected);
    }
    assert_eq!(
        says(&site, &layer, accounts(&site).header(SERIAL_HEADER, &own)),
        format!("scope_violation to {AGENT}")
    );
}

#[test]
fn content_is_whole_or_nothing() {
    let (site, content) = (Site::new(), b"{\"to\":\"acme\"}");
    let layer = site.layer().max_signed_content(64).insecure_dry_run(of_route("/*"));
    let signed = |nonce: &str| site.signed_with(nonce, HOST, content);
    let other = site.send(&layer, signed("a"), b"{\"to\":\"evil\"}");
    assert_eq!(other.body(), "possession_invalid to nobody{\"to\":\"evil\"}");
    assert_eq!(site.send(&layer, post(), content).body(), "certificate_missing to nobody{\"to\":\"acme\"}");
    let before = site.calls();
    assert_eq!(code(&site.send(&layer, signed("b"), &[b'x'; 65])), "content_too_large");
    assert_eq!(code(&broken_off(&site, &layer, signed("c"))), "possession_invalid");
    assert_eq!(site.calls(), before);
}

/// Sent by a client that goes away in the middle.
fn broken_off(site: &Site, layer: &AgentLayer, request: Builder) -> http::Response<String> {
    struct Gone(bool);
    impl http_body::Body for Gone {
        type Data = bytes::Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, &'static str>>> {
            let first = !std::mem::replace(&mut self.0, true);
            let piece = http_body::Frame::data(bytes::Bytes::from_static(b"{\"to\""));
            std::task::Poll::Ready(Some(if first { Ok(piece) } else { Err("the client is gone") }))
        }
    }
    let mut service = site.service(layer);
    pollster::block_on(async {
        poll_ready(&mut service).await;
        tower_service::Service::call(&mut service, request.body(Gone(false)).unwrap()).await.unwrap()
    })
}

#[test]
fn no_hostile_path_slips_into_a_route_of_a_dry_run() {
    let site = Site::new();
    let routes = || of_route("/pay").route("/pay/*".parse().unwrap());
    let (mine, nobodys) = (site.layer().insecure_dry_run(routes()), site.layer().insecure_dry_run(routes()));
    let (mut let_in, mut refused) = (0, 0);
    for row in table() {
        for (layer, is_shown) in [(&mine, true), (&nobodys, false)] {
            let mut request = Request::builder().method(row.method.as_str()).uri(row.target.as_slice());
            if is_shown {
                request = request.extension(PeerCertificates([site.world.leaf_der()].into()));
            }
            // As the layer sees targets, after an HTTP library has read them, which cuts fragments off.
            let Some(seen) = request.uri_ref().map(ToString::to_string) else { continue };
            if site.ask(layer, request).status() == 200 {
                let_in += 1;
                assert!(!row.either, "nothing is normalised here: {}", row.what);
                assert_eq!(resources(seen.as_bytes()), BTreeSet::from(["pay".to_owned()]), "{}", row.what);
            } else {
                refused += 1;
                assert!(!row.allowed, "{}", row.what);
            }
        }
    }
    assert!(let_in >= 8 && refused > 140, "{let_in} {refused}");
    for name in kakunin_verify::target::OVERRIDE_HEADERS {
        let request = Request::get("/pay").header(name, "/vault");
        assert_eq!(says(&site, &nobodys, request), "certificate_missing", "{name}");
    }
}
