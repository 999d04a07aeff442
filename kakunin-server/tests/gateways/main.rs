//! nginx, Envoy, HAProxy, Caddy and Traefik, configured as `examples/gateways` has it: who gets through to the
//! backend behind them, and how soon nobody does whose identity was taken away.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
mod client;
mod dry_run;
mod forms;
#[path = "../../../kakunin-verify/tests/common/hostile.rs"]
mod hostile;
mod kept;
mod paths;
mod world;

use std::time::Instant;

use client::{Client, Protocol};
use kakunin_verify::possession::CertificateEncoding;
use world::World;

/// What every gateway has to do, whatever it checks itself.
async fn decides(gateway: &str) {
    let mut w = World::start(gateway);
    let (agent, other) = (w.agent("one", "write:payments"), w.agent("other", "delete:vault"));
    let (mine, theirs) = (w.client(Some(&agent)), w.client(Some(&other)));
    w.until_ready(&mine).await;
    assert_eq!(mine.get(Protocol::Http1, "/pay", &[]).await, Some(200), "{gateway}");
    assert_eq!(mine.get(Protocol::Http2, "/pay/in?full=1", &[]).await, Some(200), "{gateway}");
    assert_eq!(theirs.get(Protocol::Http1, "/vault", &[]).await, Some(200), "{gateway}");
    let served = w.served();
    nobody_else_gets_through(&w, &mine, &other).await;
    assert_eq!(w.served(), served, "{gateway}: the backend was reached");
    let gap = until_revoked(&w, &mine, &agent).await;
    println!(
        "{gateway}: revocation answered -> first request refused: {} us, 0 let in between",
        gap.as_micros()
    );
    assert_eq!(theirs.get(Protocol::Http1, "/vault", &[]).await, Some(200), "{gateway}: the other is hit");
    let mut kept = theirs.open(Protocol::Http1).await.unwrap();
    assert_eq!(kept.get("/vault", &[]).await, Some(200));
    w.end_server();
    let status = kept.get("/vault", &[]).await;
    assert!(status.is_none_or(|status| status >= 400), "{gateway}: {status:?} without anybody to ask");
}

async fn nobody_else_gets_through(w: &World, mine: &Client, other: &world::Agent) {
    assert_eq!(mine.get(Protocol::Http1, "/vault", &[]).await, Some(403));
    let no =
        |status: Option<u16>| assert!(status.is_none_or(|status| (400..500).contains(&status)), "{status:?}");
    // No action is configured for it.
    no(mine.get(Protocol::Http1, "/elsewhere", &[]).await);
    no(mine.get(Protocol::Http1, "/", &[]).await);
    let der = &other.der;
    for (header, form) in [
        ("x-client-cert", CertificateEncoding::UrlPem),
        ("x-client-cert", CertificateEncoding::Base64),
        ("x-forwarded-tls-client-cert", CertificateEncoding::Base64List),
        ("x-forwarded-client-cert", CertificateEncoding::Xfcc),
        ("client-cert", CertificateEncoding::ByteSequence),
    ] {
        let certificate = form.write(&[der]);
        let hop = format!("close, x-kakunin-action, {header}");
        let fields = [(header, &*certificate), ("x-kakunin-action", "write:payments"), ("connection", &hop)];
        no(mine.get(Protocol::Http1, "/vault", &fields[..2]).await);
        no(mine.get(Protocol::Http1, "/vault", &fields).await);
        // Nobody shows a key.
        no(w.client(None).get(Protocol::Http1, "/vault", &fields[..1]).await);
        no(w.client(None).get(Protocol::Http1, "/pay", &[]).await);
    }
}

/// Led astray until its score takes its certificate away, over connections that were opened before. Gives how
/// long after that answer the next one came, which has to be a refusal.
async fn until_revoked(w: &World, mine: &Client, agent: &world::Agent) -> std::time::Duration {
    let mut kept = mine.open(Protocol::Http1).await.unwrap();
    let mut kept2 = mine.open(Protocol::Http2).await.unwrap();
    assert_eq!((kept.get("/pay", &[]).await, kept2.get("/pay", &[]).await), (Some(200), Some(200)));
    for _ in 0..300 {
        assert_eq!(kept.get("/vault", &[]).await, Some(403));
        let answered = Instant::now();
        let status = kept.get("/pay", &[]).await;
        let gap = answered.elapsed();
        if status == Some(200) {
            assert_eq!(w.status(agent)["status"], "active", "let in after it was revoked");
            continue;
        }
        assert_eq!(status, Some(403), "on the connection that was kept");
        assert_eq!(kept2.get("/pay", &[]).await, Some(403), "over HTTP/2");
        let mut resumed = mine.open(Protocol::Http1).await.unwrap();
        assert!(resumed.resumed, "the TLS session was not resumed");
        assert_eq!(resumed.get("/pay", &[]).await, Some(403), "on a resumed session");
        assert_eq!(w.status(agent)["revocation_reason"], "risk_threshold_exceeded");
        return gap;
    }
    panic!("nothing was taken away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx() {
    decides("nginx").await;
}

/// Where nginx passes on certificates that it did not verify, the server does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_that_verifies_nothing() {
    let changes = [("ssl_verify_client on;", "ssl_verify_client optional_no_ca;")];
    let (w, elsewhere) = (World::start_with("nginx", &changes), World::start("nginx"));
    let (agent, foreign) = (w.agent("one", "write:payments"), elsewhere.agent("one", "write:payments"));
    let mine = w.client(Some(&agent));
    w.until_ready(&mine).await;
    assert_eq!(mine.get(Protocol::Http1, "/pay", &[]).await, Some(200));
    let served = w.served();
    assert_eq!(w.client(Some(&foreign)).get(Protocol::Http1, "/pay", &[]).await, Some(401));
    let stolen = CertificateEncoding::UrlPem.write(&[&agent.der]);
    for fields in [&[][..], &[("x-client-cert", &*stolen)]] {
        assert_eq!(
            w.client(None).get(Protocol::Http1, "/pay", fields).await,
            Some(401),
            "nobody shows a key"
        );
    }
    assert_eq!(w.served(), served);
}

/// An nginx that ends TLS and passes everything on, `Client-Cert` too, is trusted about addresses: a stranger with an
/// agent's certificate, which is public, is nobody behind it.
#[test]
fn a_plain_nginx_vouches_for_nobody() {
    let w = World::plain(&["--trusted-proxy", "127.0.0.1", "--gateway", "192.0.2.7=rfc9440"]);
    let agent = w.agent("honest", "read:mail");
    let der = [&agent.der];
    let fields: Vec<_> = [
        ("Client-Cert", CertificateEncoding::ByteSequence),
        ("X-Client-Cert", CertificateEncoding::UrlPem),
        ("X-SSL-Cert", CertificateEncoding::UrlPem),
        ("X-Client-Cert", CertificateEncoding::Base64),
        ("X-Forwarded-Tls-Client-Cert", CertificateEncoding::Base64List),
        ("X-Forwarded-Client-Cert", CertificateEncoding::Xfcc),
    ]
    .map(|(name, form)| format!("{name}: {}", form.write(&der)))
    .into();
    let (kind, action) = ("content-type: application/json", "X-Kakunin-Action: delete:everything");
    for n in 0..20 {
        for field in &fields {
            let body = format!(r#"{{"action":"delete:vault-{n}"}}"#);
            let check = w.through(&["-H", kind, "-H", field, "-d", &body, "/api/v1/gateway/check"]);
            assert_eq!(
                (check.0.as_str(), &check.1["error"]),
                ("401", &"missing_cert_serial".into()),
                "{field}"
            );
            let auth = w.through(&["-H", field, "-H", action, "/api/v1/gateway/auth"]);
            assert_eq!(
                (auth.0.as_str(), &auth.1["error"]),
                ("403", &"gateway_unauthenticated".into()),
                "{field}"
            );
        }
    }
    assert_eq!(w.status(&agent)["status"], "active");
    assert_eq!(w.get("/events?limit=10"), serde_json::json!([]), "nothing is on record");
    assert_eq!(w.get("/notifications?limit=10"), serde_json::json!([]));
    // The same nginx, believed about certificates by name: whoever configures that has to overwrite the field.
    let w = World::plain(&["--gateway", "127.0.0.1=rfc9440"]);
    let agent = w.agent("honest", "read:mail");
    let field = format!("Client-Cert: {}", CertificateEncoding::ByteSequence.write(&[&agent.der]));
    let auth = w.through(&["-H", &field, "-H", "X-Kakunin-Action: read:mail", "/api/v1/gateway/auth"]);
    assert_eq!(auth.0, "200");
}

/// The canary is led astray, and everybody who has to know of it does, also what is behind nginx.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_monitor_times_nginx_and_every_other_consumer() {
    let w = World::start_with("nginx", &[("write:payments", "read:canary")]);
    w.until_ready(&w.client(Some(&w.agent("any", "read:mail")))).await;
    let seen = w.monitor("/pay", &["--by-score", "--json"]);
    let (said, why) = (String::from_utf8(seen.stdout).unwrap(), String::from_utf8(seen.stderr).unwrap());
    assert!(seen.status.success(), "{said}{why}");
    let report: serde_json::Value = serde_json::from_str(said.trim_end()).unwrap();
    let measured = report["consumers"].as_array().unwrap();
    assert_eq!((measured.len(), said.lines().count()), (6, 1), "{said}");
    println!("monitor: {report}");
    for one in measured {
        let full = one["consumer"] == "full CRL";
        assert!(one["seconds"].as_f64().unwrap() < if full { 45.0 } else { 10.0 }, "{one}");
    }
    // What is refused from the start cannot be timed.
    let seen = w.monitor("/elsewhere", &[]);
    assert!(!seen.status.success() && seen.stdout.is_empty());
    assert!(String::from_utf8(seen.stderr).unwrap().contains("before it is revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy() {
    decides("envoy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy() {
    decides("haproxy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy() {
    decides("caddy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traefik() {
    decides("traefik").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_paths_at_nginx() {
    paths::hostile("nginx").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_paths_at_envoy() {
    paths::hostile("envoy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_paths_at_haproxy() {
    paths::hostile("haproxy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_paths_at_caddy() {
    paths::hostile("caddy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_paths_at_traefik() {
    paths::hostile("traefik").await;
}
