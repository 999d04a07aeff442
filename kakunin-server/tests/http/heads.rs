//! Hosts, methods, and signatures of others.

use axum::http::Method;
use kakunin_server::demo::Answer;
use serde_json::json;

use crate::asking::{ask, certified, get, raw, status};
use crate::common::{code, world};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host() {
    let w = world().await;
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\nhost: a\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nHost: a\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a, b\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: u@a\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost:\r\n", "400"),
        ("GET http://a/healthz HTTP/1.1\r\nhost: a\r\n", "200"),
        ("GET http://a/healthz HTTP/1.1\r\n", "400"),
        ("GET http://a/healthz HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "400"),
        ("GET http://u@a/healthz HTTP/1.1\r\nhost: a\r\n", "400"),
        ("GET /healthz HTTP/1.0\r\n", "200"),
        ("GET /healthz HTTP/1.0\r\nhost: a\r\nhost: b\r\n", "400"),
    ] {
        let answer = raw(&w, &format!("{head}connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), expected, "{head}: {answer}");
        assert!(expected == "200" || answer.contains("host_invalid"), "{answer}");
    }
    for (fields, expected) in [(&["-H", "host: 127.0.0.1"][..], "200"), (&["-H", "Host:"], "400")] {
        let out = std::process::Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                "--http2-prior-knowledge",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ])
            .args(fields)
            .arg(format!("{}/healthz", w.url))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{fields:?}");
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let w = world().await;
    let (id, serial) = certified(&w).await;
    let allowed = |answer: &Answer| {
        let text = answer.headers["allow"].to_str().unwrap();
        let mut all: Vec<_> = text.split(',').map(|one| one.trim().to_owned()).collect();
        all.sort();
        all.join(",")
    };
    for (path, expected) in [
        ("/healthz".to_owned(), "GET,HEAD,OPTIONS"),
        ("/metrics".to_owned(), "GET,HEAD,OPTIONS"),
        ("/api/v1/agents".to_owned(), "GET,HEAD,OPTIONS,POST"),
        ("/api/v1/agents?limit=1".to_owned(), "GET,HEAD,OPTIONS,POST"),
        ("/api/v1/notifications?limit=1".to_owned(), "GET,HEAD,OPTIONS"),
        (format!("/api/v1/agents/{id}"), "DELETE,GET,HEAD,OPTIONS,PATCH"),
        (format!("/api/v1/agents/{id}/halt"), "OPTIONS,POST"),
        (format!("/api/v1/certificates/{serial}/revoke"), "OPTIONS,POST"),
        ("/api/v1/gateway/check".to_owned(), "OPTIONS,POST"),
        (format!("/api/v1/verify/{serial}"), "GET,HEAD,OPTIONS"),
    ] {
        for method in ["TRACE", "PUT", "PROPFIND", "FOO", "get"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = ask(&w.admin, method.clone(), &path, &[]).await;
            assert_eq!(
                (answer.status.as_u16(), code(&answer)),
                (405, "method_not_allowed".to_owned()),
                "{method} {path}"
            );
            assert_eq!(allowed(&answer), expected, "{method} {path}");
        }
        let options = ask(&w.admin.without_key(), Method::OPTIONS, &path, &[]).await;
        assert_eq!((options.status.as_u16(), allowed(&options).as_str()), (204, expected), "{path}");
        assert!(options.body.is_empty() && !options.headers.contains_key("content-type"));
    }
    let gateway = ask(&w.admin, Method::TRACE, "/api/v1/gateway/auth/x", &[]).await;
    assert_eq!((gateway.status.as_u16(), gateway.headers.contains_key("allow")), (405, true));
    for method in [Method::TRACE, Method::OPTIONS] {
        assert_eq!(ask(&w.admin, method, "/api/v1/nothing", &[]).await.status, 404);
    }
    let all = raw(&w, "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(status(&all) == "204" && all.to_lowercase().contains("allow: get,head"), "{all}");
    // HEAD is GET without content.
    for path in
        ["/healthz", "/api/v1/ca", "/api/v1/agents", "/api/v1/agents/x", "/api/v1/nothing", "/api/v1/crl"]
    {
        let (get, head) = (get(&w.admin, path, &[]).await, ask(&w.admin, Method::HEAD, path, &[]).await);
        assert_eq!(get.status, head.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(get.headers.get(name), head.headers.get(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn another_signature_beside_ours_is_let_be() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let (path, body) = ("/api/v1/gateway/check", json!({ "action": "read:mail" }).to_string());
    let bot = (r#"bot=("@authority");created=1;keyid="a,b";tag="web-bot-auth""#, "bot=:AQID:");
    let again = |ours: &str| ours.replacen("kakunin=", "two=", 1);
    for (joined, twice, expected) in
        [(true, false, 200), (false, false, 200), (true, true, 401), (false, true, 401)]
    {
        let signed = agent.sign("POST", path, body.as_bytes()).await.unwrap();
        let mut fields = vec![("content-type", "application/json".to_owned())];
        for (name, ours) in signed {
            let other = match name {
                "signature-input" if twice => again(&ours),
                "signature-input" => bot.0.to_owned(),
                "signature" if twice => again(&ours),
                "signature" => bot.1.to_owned(),
                _ => {
                    fields.push((name, ours));
                    continue;
                }
            };
            if joined {
                fields.push((name, format!("{other}, {ours}")));
            } else {
                fields.extend([(name, ours), (name, other)]);
            }
        }
        let head: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let host = w.url.rsplit('/').next().unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n{body}"
        );
        let answer = raw(&w, &request).await;
        assert_eq!(status(&answer), expected.to_string(), "{joined} {twice}: {answer}");
        assert!(expected == 200 || answer.contains("more than one signature for us"), "{answer}");
    }
}
