//! Validators, and the form that is wanted.

use axum::http::Method;
use serde_json::json;

use crate::asking::{ask, certified, get, issuer, raw, status};
use crate::common::{code, world};

#[tokio::test]
async fn whoever_has_it_already_is_sent_304() {
    let w = world().await;
    let (_, serial) = certified(&w).await;
    let issuer = issuer(&w).await;
    let anybody = w.admin.without_key();
    for path in [
        "crl".to_owned(),
        "crl/chain".to_owned(),
        format!("crl/{issuer}/0.crl"),
        format!("crl/{issuer}/full.crl"),
        format!("feed/{issuer}/snapshot"),
        format!("verify/{serial}"),
        "ca".to_owned(),
        "ca/chain".to_owned(),
        format!("ca/{issuer}.cer"),
        "spiffe/bundle".to_owned(),
        "openapi.json".to_owned(),
    ] {
        let path = format!("/api/v1/{path}");
        // A snapshot, and a CRL of all, is made anew after some seconds: then there is another tag.
        let mut told = String::new();
        for _ in 0..3 {
            told.clear();
            let whole = get(&anybody, &path, &[]).await;
            assert_eq!(whole.status, 200, "{path}");
            let tag = whole.headers["etag"].to_str().unwrap().to_owned();
            for known in [
                tag.clone(),
                format!("W/{tag}"),
                format!("\"x\", {tag}"),
                format!("W/\"x\",W/{tag} , \"y\""),
                "*".to_owned(),
            ] {
                for method in [Method::GET, Method::HEAD] {
                    let answer = ask(&anybody, method.clone(), &path, &[("if-none-match", &known)]).await;
                    if answer.status != 304 {
                        told = format!("{method} {path} {known}: {}", answer.status);
                        continue;
                    }
                    assert!(answer.body.is_empty(), "{path}");
                    for name in ["etag", "cache-control", "vary", "access-control-allow-origin"] {
                        assert_eq!(answer.headers.get(name), whole.headers.get(name), "{path}: {name}");
                    }
                    for name in ["etag", "cache-control", "date"] {
                        assert!(answer.headers.contains_key(name), "{path}: {name}");
                    }
                    for name in ["content-type", "content-length"] {
                        assert!(!answer.headers.contains_key(name), "{path}: {name}");
                    }
                }
            }
            let lines = format!("if-none-match: \"x\"\r\nif-none-match: {tag}\r\n");
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
            if status(&raw(&w, &request).await) != "304" {
                told = format!("{path}: two lines");
            }
            if told.is_empty() {
                break;
            }
        }
        assert_eq!(told, "");
        for unknown in ["\"x\"", "x", "", "w/*", "\"x\", *"] {
            assert_eq!(
                get(&anybody, &path, &[("if-none-match", unknown)]).await.status,
                200,
                "{path} {unknown}"
            );
        }
    }
    // What changed is sent.
    let path = format!("/api/v1/verify/{serial}");
    let tag = get(&anybody, &path, &[]).await.headers["etag"].to_str().unwrap().to_owned();
    let page = get(&anybody, &path, &[("accept", "text/html"), ("if-none-match", &tag)]).await;
    assert_eq!(page.status, 200, "the page has a tag of its own");
    w.admin
        .post(&format!("/api/v1/certificates/{serial}/revoke"), &json!({ "reason": "superseded" }))
        .await
        .unwrap();
    let now = get(&anybody, &path, &[("if-none-match", &tag)]).await;
    assert_eq!((now.status.as_u16(), now.text("status")), (200, "revoked".to_owned()));
    assert_eq!(get(&anybody, "/api/v1/verify/00", &[("if-none-match", "*")]).await.status, 404);
}

#[tokio::test]
async fn a_client_is_sent_the_form_that_it_wants() {
    let w = world().await;
    let (_, serial) = certified(&w).await;
    let (issuer, anybody) = (issuer(&w).await, w.admin.without_key());
    let (json, html) = ("application/json", "text/html; charset=utf-8");
    let (pem, der) = ("application/x-pem-file", "application/pkix-crl");
    let verify = format!("/api/v1/verify/{serial}");
    let shard = format!("/api/v1/crl/{issuer}/0.crl");
    for (path, accept, expected) in [
        (verify.as_str(), "TEXT/HTML", html),
        (&verify, "text/*", html),
        (&verify, "application/json;q=0.5, text/html", html),
        (&verify, "text/html;q=0.5, application/json", json),
        (&verify, "text/html;q=0", json),
        (&verify, "*/*", json),
        (&verify, "application/json;q=0", html),
        ("/api/v1/crl", "APPLICATION/PKIX-CRL", der),
        ("/api/v1/crl", "application/pkix-crl;q=0, */*", pem),
        ("/api/v1/crl", "application/x-pem-file;q=0.2, application/pkix-crl;q=0.3", der),
        ("/api/v1/crl", "application/*", pem),
        ("/api/v1/crl", "application/pkix-crlx", pem),
        (&shard, "Application/X-PEM-File", pem),
        (&shard, "application/x-pem-file;q=0", der),
        (&shard, "application/x-pem-file;q=0.1, application/pkix-crl", der),
        ("/api/v1/agents", "Application/Problem+JSON", "application/problem+json"),
        ("/api/v1/agents", "application/problem+json;q=0", json),
        ("/api/v1/agents", "application/json, application/problem+json;q=0.9", json),
        ("/api/v1/agents", "*/*", json),
    ] {
        let answer = get(&anybody, path, &[("accept", accept)]).await;
        assert_eq!(answer.headers["content-type"], expected, "{path} {accept}");
        if path != "/api/v1/agents" {
            assert_eq!(answer.headers["vary"], "accept");
        }
    }
    for path in [verify.as_str(), "/api/v1/crl", &shard] {
        let answer = get(&anybody, path, &[("accept", "*/*;q=0")]).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (406, "not_acceptable".to_owned()), "{path}");
        let lines = "accept: text/html;q=0.1\r\naccept: application/json;q=0.1, application/x-pem-file\r\n";
        let two =
            raw(&w, &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n")).await;
        let expected = if path == verify { html } else { pem };
        assert!(two.to_lowercase().contains(&format!("content-type: {expected}")), "{path}: {two}");
    }
}
