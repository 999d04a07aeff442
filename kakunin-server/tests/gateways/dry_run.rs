//! A dry run behind each gateway, which asks for certificates and does not insist: what it lets through, as whose, and that
//! no path slips into it.

use std::collections::BTreeSet;

use crate::client::{NAME, Protocol};
use crate::hostile::table;
use crate::paths::{head, raw, served};
use crate::world::World;

/// What each gateway of the examples says of clients without a certificate, and what lets them in.
fn insists(gateway: &str) -> (&'static str, &'static str) {
    match gateway {
        "nginx" => ("ssl_verify_client on;", "ssl_verify_client optional;"),
        "envoy" => ("require_client_certificate: true", "require_client_certificate: false"),
        "haproxy" => ("verify required alpn", "verify optional alpn"),
        "caddy" => ("mode require_and_verify", "mode verify_if_given"),
        _ => ("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"),
    }
}

async fn lets_through(gateway: &str) {
    let flags = ["--insecure-dry-run-route", "/pay,/pay/*"];
    let w = World::start_told(gateway, &[insists(gateway)], &flags);
    let narrow = w.agent("narrow", "read:mail");
    let (mine, nobody) = (w.client(Some(&narrow)), w.client(None));
    w.until_ready(&mine).await;
    let ask = async |client: &crate::client::Client, path: &str, fields: &[String]| {
        let before = w.served();
        let fields = fields.concat();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {NAME}\r\n{fields}connection: close\r\n\r\n");
        let status = raw(client, request.as_bytes()).await;
        let heads = w.served_since(before);
        assert_eq!(heads.len(), usize::from(status == Some(200)), "{gateway}: {path} {status:?}");
        let head = heads.first().map(|head| String::from_utf8_lossy(head).to_lowercase());
        (status, head.unwrap_or_default())
    };
    let (status, seen) = ask(&mine, "/pay", &[]).await;
    assert!(
        status == Some(200) && seen.contains("x-kakunin-spiffe-id: spiffe://"),
        "{gateway}: {status:?} {seen}"
    );
    assert_eq!(mine.get(Protocol::Http2, "/pay/in?full=1", &[]).await, Some(200), "{gateway}");
    assert_eq!(ask(&mine, "/vault", &[]).await.0, Some(403), "{gateway}: of no dry run");
    let events = w.get("/events?limit=10");
    let would = |event: &serde_json::Value| event["details"]["would_deny"] == "scope_violation";
    assert!(events.as_array().unwrap().iter().filter(|event| would(event)).count() >= 2, "{events}");
    let refusals = async |client: &crate::client::Client, what: &str| {
        assert_eq!(ask(client, "/vault", &[]).await.0, Some(if what == "nobody" { 401 } else { 403 }));
        let (status, seen) = ask(client, "/pay", &[]).await;
        assert!(status == Some(200) && !seen.contains("spiffe://"), "{gateway}, {what}: {status:?} {seen}");
        // What it says of itself is not what the service is told.
        for name in ["X-Kakunin-Spiffe-Id", "x-kakunin-spiffe-id", "X-Kakunin-Cert-Serial"] {
            let (status, seen) = ask(client, "/pay", &[format!("{name}: spiffe://forged\r\n")]).await;
            assert!(matches!(status, Some(200 | 401 | 403)), "{gateway}, {what}: {status:?}");
            assert!(!seen.contains("forged"), "{gateway}, {what}: {seen}");
        }
        for target in ["/vault", "/pay/../vault"] {
            for field in ["X-Original-URI", "X-Forwarded-Uri", "X-Original-URL"] {
                let (status, _) = ask(client, target, &[format!("{field}: /pay\r\n")]).await;
                assert_ne!(status, Some(200), "{gateway}, {what}: {target} by {field}");
            }
        }
    };
    refusals(&nobody, "nobody").await;
    w.revoke(&narrow);
    refusals(&mine, "revoked").await;
    // By nobody: an agent would lose its certificate on the way.
    for row in table() {
        let before = w.served();
        raw(&nobody, &head(&row, &[])).await;
        for head in w.served_since(before) {
            assert_eq!(served(&head), BTreeSet::from(["pay".to_owned()]), "{gateway}, {}", row.what);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_in_a_dry_run() {
    lets_through("nginx").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_in_a_dry_run() {
    lets_through("envoy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_in_a_dry_run() {
    lets_through("haproxy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_in_a_dry_run() {
    lets_through("caddy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traefik_in_a_dry_run() {
    lets_through("traefik").await;
}
