//! Forward authentication: which gateways are believed, in which form, and what nobody else can do with it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use axum::http::Method;
use common::{World, as_it_is, code, world, world_with};
use kakunin_server::demo::{Agent, Answer};
use kakunin_verify::possession::CertificateEncoding;
use serde_json::json;

type Fields<'a> = &'a [(&'a str, &'a str)];

const AUTH: &str = "/api/v1/gateway/auth";
const FORMS: [(&str, &str, CertificateEncoding); 6] = [
    ("nginx", "x-client-cert", CertificateEncoding::UrlPem),
    ("haproxy", "x-client-cert", CertificateEncoding::Base64),
    ("caddy", "x-client-cert", CertificateEncoding::Base64),
    ("traefik", "x-forwarded-tls-client-cert", CertificateEncoding::Base64List),
    ("envoy", "x-forwarded-client-cert", CertificateEncoding::Xfcc),
    ("rfc9440", "client-cert", CertificateEncoding::ByteSequence),
];

async fn behind(gateway: &str) -> World {
    let gateway = format!("127.0.0.1={gateway}").parse().unwrap();
    world_with(|options| options.api.gateways = vec![gateway]).await
}

async fn leaf(agent: &Agent) -> Vec<u8> {
    agent.certificate_der()
}

async fn ask(w: &World, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    // Gateways hand on what clients spell; a client of the API sends no such path.
    as_it_is(&w.url, method, path, fields).await
}

async fn auth(w: &World, fields: &[(&str, &str)]) -> Answer {
    ask(w, Method::GET, AUTH, fields).await
}

async fn records(w: &World) -> usize {
    w.admin.get("/api/v1/events?limit=100").await.unwrap().data().as_array().unwrap().len()
}

fn refused(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), code(answer))
}

#[tokio::test]
async fn each_gateway_is_believed_in_its_own_form_only() {
    for (gateway, header, encoding) in FORMS {
        let w = behind(gateway).await;
        let agent = w.agent("one", &["write:payments"]).await;
        let der = leaf(&agent).await;
        let good = encoding.write(&[&der]);
        let allowed = auth(&w, &[(header, &good), ("x-kakunin-action", "write:payments")]).await;
        assert_eq!((allowed.status.as_u16(), allowed.body.len()), (200, 0), "{gateway}");
        assert_eq!(allowed.headers["x-kakunin-cert-serial"], agent.serial.to_string());
        assert!(allowed.headers["x-kakunin-spiffe-id"].to_str().unwrap().ends_with(&agent.id));
        let beyond = auth(&w, &[(header, &good), ("x-kakunin-action", "delete:vault")]).await;
        assert_eq!(refused(&beyond), (403, "scope_violation".to_owned()), "{gateway}");
        let seen = w.admin.get("/api/v1/events?limit=1").await.unwrap().data();
        assert_eq!((&seen[0]["attribution"], &seen[0]["outcome"]), (&json!("possession"), &json!("denied")));
        let before = records(&w).await;
        for (_, other, form) in FORMS {
            let answer =
                auth(&w, &[(other, &form.write(&[&der])), ("x-kakunin-action", "write:payments")]).await;
            let same = other == header && form == encoding;
            let list_of_one = other == header && gateway == "traefik" && form == CertificateEncoding::Base64;
            assert_eq!(answer.status == 200, same || list_of_one, "{gateway} {other} {form:?}");
            assert!(answer.status == 200 || answer.status == 401, "{}", answer.status);
        }
        let twins = FORMS.iter().filter(|(_, h, e)| (*h, *e) == (header, encoding)).count();
        assert_eq!(records(&w).await, before + twins, "{gateway}: only what was allowed is on record");
    }
}

/// Nothing is wrong with the agent's certificate, and nobody is told to have another one issued.
#[tokio::test]
async fn another_form_than_the_configured_one_is_the_operators_to_mend() {
    for (gateway, header, encoding) in FORMS {
        let w = behind(gateway).await;
        let der = leaf(&w.agent("one", &["read:mail"]).await).await;
        for (_, _, other) in FORMS {
            let field = other.write(&[&der]);
            // It, or a list of one.
            if field == encoding.write(&[&der]) {
                continue;
            }
            let answer = auth(&w, &[(header, &field), ("x-kakunin-action", "read:mail")]).await;
            assert_eq!(refused(&answer), (401, "certificate_malformed".to_owned()), "{gateway} {other:?}");
            operators(&answer, header);
            let request = json!({ "method": "GET", "target": "/", "authority": "any.example", "headers": { header: field } });
            let body = json!({ "action": "read:mail", "request": request });
            let answer = w.admin.post("/api/v1/gateway/check", &body).await.unwrap();
            assert_eq!(refused(&answer), (401, "certificate_malformed".to_owned()), "{gateway} {other:?}");
            operators(&answer, header);
        }
        assert_eq!(records(&w).await, 0);
    }
}

fn operators(answer: &Answer, header: &str) {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let sentence = body["message"].as_str().unwrap();
    assert!(sentence.contains(&format!("`{header}`")) && sentence.contains("--gateway"), "{sentence}");
    assert!(!sentence.contains("issued again"), "{sentence}");
}

#[tokio::test]
async fn whoever_is_no_configured_gateway_makes_no_record_and_gets_no_yes() {
    let elsewhere = "192.0.2.0/24=nginx".parse().unwrap();
    let here = vec!["127.0.0.0/8".parse().unwrap(), "::/0".parse().unwrap()];
    for w in [
        world().await,
        world_with(|o| o.api.gateways = vec![elsewhere]).await,
        world_with(|o| o.api.trusted_proxies = here).await,
    ] {
        let victim = w.agent("victim", &["read:mail"]).await;
        let der = leaf(&victim).await;
        for (_, header, encoding) in FORMS {
            for action in ["read:mail", "delete:everything"] {
                let fields = [(header, &*encoding.write(&[&der])), ("x-kakunin-action", action)];
                assert_eq!(refused(&auth(&w, &fields).await), (403, "gateway_unauthenticated".to_owned()));
                // Not with a key either: clients send `Authorization` through gateways.
                let keyed = w.admin.send(Method::GET, AUTH, &fields, Vec::new()).await.unwrap();
                assert_eq!(keyed.status, 403);
            }
        }
        assert_eq!(records(&w).await, 0);
        assert_eq!(w.risk(&victim).await["risk_score"], 0.0);
    }
}

#[tokio::test]
async fn a_gateway_that_speaks_rfc_9440_may_send_the_chain_beside() {
    let w = behind("rfc9440").await;
    let der = leaf(&w.agent("one", &["read:mail"]).await).await;
    let action = ("x-kakunin-action", "read:mail");
    let bytes = CertificateEncoding::ByteSequence.write(&[&der]);
    assert_eq!(auth(&w, &[("client-cert", &bytes), action]).await.status, 200);
    let issuing = w.admin.get("/api/v1/ca").await.unwrap().data()["authorities"].clone();
    let issuing = issuing.as_array().unwrap().iter().find(|ca| ca["role"] == "issuing").unwrap().clone();
    let pem = issuing["certificate_pem"].as_str().unwrap();
    let chain = kakunin_core::x509::pem::decode("CERTIFICATE", pem).unwrap();
    let chain = CertificateEncoding::ByteSequence.write(&chain);
    assert_eq!(auth(&w, &[("client-cert", &bytes), ("client-cert-chain", &chain), action]).await.status, 200);
    let both = format!("{bytes}, {chain}");
    assert_eq!(refused(&auth(&w, &[("client-cert", &both), action]).await).0, 401);
}

#[tokio::test]
async fn the_smallest_network_says_in_which_form() {
    let all = ["127.0.0.0/8=nginx", "::ffff:127.0.0.1=envoy", "::/0=caddy"].map(|text| text.parse().unwrap());
    let w = world_with(|options| options.api.gateways = all.to_vec()).await;
    let der = leaf(&w.agent("one", &["read:mail"]).await).await;
    for (gateway, header, encoding) in FORMS {
        let fields = [(header, &*encoding.write(&[&der])), ("x-kakunin-action", "read:mail")];
        assert_eq!(auth(&w, &fields).await.status == 200, gateway == "envoy", "{gateway}");
    }
}

#[tokio::test]
async fn what_is_doubled_malformed_missing_or_foreign_is_refused() {
    let (w, elsewhere) = (behind("nginx").await, world().await);
    let agent = w.agent("one", &["read:mail"]).await;
    let foreign = elsewhere.agent("two", &["read:mail"]).await;
    let url = CertificateEncoding::UrlPem;
    let (good, foreign) = (url.write(&[leaf(&agent).await]), url.write(&[leaf(&foreign).await]));
    let action = ("x-kakunin-action", "read:mail");
    let (cert, serial) = (("x-client-cert", &*good), agent.serial.to_string());
    let long = good.repeat(40);
    let refusals: [(Fields<'_>, u16, &str); 11] = [
        (&[action], 401, "missing_cert_serial"),
        (&[("x-client-cert", ""), action], 401, "missing_cert_serial"),
        (&[("x-client-cert", "(null)"), action], 401, "certificate_malformed"),
        (&[("x-client-cert", &long[..40_000]), action], 401, "certificate_malformed"),
        (&[cert, cert, action], 401, "headers_invalid"),
        (&[("x-client-cert", &foreign), action], 401, "issuer_unknown"),
        (&[cert, ("x-kakunin-cert-serial", "00"), action], 401, "possession_invalid"),
        (&[cert], 403, "action_malformed"),
        (&[cert, ("x-kakunin-action", "")], 403, "action_malformed"),
        (&[cert, ("x-kakunin-action", "read:*")], 403, "action_malformed"),
        (&[cert, action, action], 401, "headers_invalid"),
    ];
    for (fields, status, why) in refusals {
        let answer = auth(&w, fields).await;
        let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(refused(&answer), (status, why.to_owned()), "{names:?}");
    }
    assert_eq!(records(&w).await, 0);
    // What belongs to the request that is passed on changes nothing: method, path, credentials.
    let theirs =
        [cert, action, ("authorization", "Bearer of-the-backend"), ("x-kakunin-cert-serial", &serial)];
    for method in [Method::GET, Method::POST, Method::DELETE, Method::OPTIONS, Method::HEAD] {
        for path in ["", "/", "/pay", "?x=/../api", "/check/pay?x=/../api"] {
            let answer = ask(&w, method.clone(), &format!("{AUTH}{path}"), &theirs).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0), "{method} {path}");
        }
        for path in ["/../check?x=/api", "//healthz"] {
            assert_eq!(
                ask(&w, method.clone(), &format!("{AUTH}{path}"), &theirs).await.status,
                403,
                "{method} {path}"
            );
        }
    }
    assert_eq!(refused(&ask(&w, Method::TRACE, AUTH, &theirs).await).0, 405);
}

#[tokio::test]
async fn an_agent_is_revoked_by_what_gateways_refuse_it_and_then_never_more_than_refused() {
    let w = behind("envoy").await;
    let agent = w.agent("astray", &["read:mail"]).await;
    let cert = CertificateEncoding::Xfcc.write(&[leaf(&agent).await]);
    let cert = ("x-forwarded-client-cert", &*cert);
    let mut refusals = 0;
    while refused(&auth(&w, &[cert, ("x-kakunin-action", "delete:vault")]).await).1 == "scope_violation" {
        refusals += 1;
        assert!(refusals < 300, "nothing was taken away");
    }
    // Also when it asks too often: gateways take anything but 401 and 403 for a fault.
    for _ in 0..60 {
        let answer = auth(&w, &[cert, ("x-kakunin-action", "read:mail")]).await;
        assert_eq!(answer.status, 403);
    }
    let status = w.admin.without_key().get(&format!("/api/v1/verify/{}", agent.serial)).await.unwrap();
    assert_eq!(status.text("revocation_reason"), "risk_threshold_exceeded");
}

/// The paths of `examples/gateways/hostile-paths.tsv`, handed over as each gateway does it.
#[tokio::test]
async fn what_can_be_read_in_more_than_one_way_is_refused_whatever_the_gateway_made_of_it() {
    let w = behind("caddy").await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/gateways/hostile-paths.tsv");
    let table = std::fs::read_to_string(file).unwrap();
    let rows = table.lines().filter(|line| !line.starts_with("# ") && !line.contains("\\x"));
    let rows = rows.map(|line| line.split('\t').collect::<Vec<_>>());
    let (mut let_in, mut refusals) = (0, 0);
    let rows: Vec<_> = rows.collect();
    for (number, rows) in rows.chunks(10).enumerate() {
        let agent = w.agent(&format!("one{number}"), &["write:payments"]).await;
        let leaf = CertificateEncoding::Base64.write(&[&leaf(&agent).await]);
        for row in rows {
            let (method, target) = (row[1], row[2]);
            let plain = kakunin_verify::target::path(target).is_ok()
                && method.bytes().all(|b| b.is_ascii_uppercase());
            let absolute = target.strip_prefix("http://gateway.example").is_some_and(|t| t == "/vault");
            let fields = [("x-client-cert", &*leaf), ("x-kakunin-action", "write:payments")];
            for (uri, verb) in
                [("x-forwarded-uri", "x-forwarded-method"), ("x-original-uri", "x-original-method")]
            {
                let answer = auth(&w, &[&fields[..], &[(uri, target), (verb, method)]].concat()).await;
                let (status, seen) = (answer.status.as_u16(), answer.body.len());
                if plain || absolute || target == "http://vault/" {
                    assert_eq!((status, seen), (200, 0), "{row:?}");
                    let_in += 1;
                } else {
                    assert_eq!(refused(&answer), (403, "target_ambiguous".to_owned()), "{row:?}");
                    refusals += 1;
                }
            }
            // As Envoy asks, behind the path.
            if target.starts_with('/')
                && format!("{AUTH}{target}").parse::<axum::http::Uri>().is_ok()
                && !target.contains('#')
            {
                let answer = ask(&w, Method::GET, &format!("{AUTH}{target}"), &fields).await;
                let fine = kakunin_verify::target::path(target).is_ok();
                assert_eq!(answer.status == 200, fine, "{row:?}");
                assert!(fine || code(&answer) == "target_ambiguous", "{row:?}");
            }
        }
    }
    assert!(let_in > 20 && refusals > 120, "{let_in} {refusals}");
    // Tried, and on record as refused; it is not known to be outside of the scope.
    let seen = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
    let denied: Vec<_> =
        seen.as_array().unwrap().iter().filter(|event| event["outcome"] == "denied").collect();
    assert!(denied.len() > 20 && denied.iter().all(|event| event["out_of_scope"] == false));
}

#[tokio::test]
async fn a_client_that_asks_for_another_method_beside_is_refused() {
    let w = behind("nginx").await;
    let agent = w.agent("one", &["write:payments"]).await;
    let leaf = CertificateEncoding::UrlPem.write(&[&leaf(&agent).await]);
    let fields = [("x-client-cert", &*leaf), ("x-kakunin-action", "write:payments")];
    for name in ["x-http-method-override", "x-http-method", "x-method-override", "x-rewrite-url"] {
        let answer = auth(&w, &[&fields[..], &[(name, "DELETE")]].concat()).await;
        assert_eq!(refused(&answer), (403, "target_ambiguous".to_owned()), "{name}");
    }
    for name in ["x-original-uri", "x-forwarded-uri", "x-original-url"] {
        for target in
            ["/pay?_method=DELETE", "/pay?a=1&_METHOD=PUT", "https://pay.example/pay?%5fmethod=DELETE"]
        {
            let answer = auth(&w, &[&fields[..], &[(name, target)]].concat()).await;
            assert_eq!(refused(&answer), (403, "target_ambiguous".to_owned()), "{name}: {target}");
        }
    }
    let behind = ask(&w, Method::POST, &format!("{AUTH}/pay?_method=DELETE"), &fields).await;
    assert_eq!(refused(&behind).1, "target_ambiguous");
    // Two, of which each is read by somebody.
    let two = [("x-original-uri", "/pay"), ("x-original-uri", "/pay/../vault")];
    assert_eq!(refused(&auth(&w, &[&fields[..], &two].concat()).await).1, "target_ambiguous");
    assert_eq!(auth(&w, &[&fields[..], &two[..1]].concat()).await.status, 200);
    // Who has no identity any more is told so.
    let gone = json!({ "reason": "key_compromise" });
    let path = format!("/api/v1/certificates/{}/revoke", agent.serial);
    assert_eq!(w.admin.post(&path, &gone).await.unwrap().status, 200);
    assert_eq!(refused(&auth(&w, &[&fields[..], &two].concat()).await).1, "agent_revoked");
}
