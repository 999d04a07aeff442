//! A dry run at the gateway: what would be refused is decided, recorded, counted, and let through.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod common;

use axum::http::Method;
use common::{World, as_it_is, check, code, world_with};
use kakunin_server::demo::{Agent, Answer};
use kakunin_verify::dry_run::DryRun;
use kakunin_verify::possession::CertificateEncoding;
use serde_json::{Value, json};

const AUTH: &str = "/api/v1/gateway/auth";
const PAY: (&str, &str) = ("x-kakunin-action", "write:payments");
const VAULT: (&str, &str) = ("x-kakunin-action", "delete:vault");

/// Behind an nginx, in a dry run of these routes, and of these tenants.
async fn dry(tenants: &[&str], routes: &[&str]) -> World {
    let tenants = tenants.iter().map(|text| text.parse().unwrap());
    let of_tenants = tenants.fold(DryRun::new(), DryRun::tenant);
    let all = routes.iter().map(|text| text.parse().unwrap()).fold(of_tenants, DryRun::route);
    world_with(|options| {
        options.api.gateways = vec!["127.0.0.1=nginx".parse().unwrap()];
        options.api.insecure_dry_run = all;
    })
    .await
}

fn leaf(agent: &Agent) -> String {
    CertificateEncoding::UrlPem.write(&[agent.certificate_der()])
}

async fn auth(w: &World, fields: &[(&str, &str)]) -> Answer {
    as_it_is(&w.url, Method::GET, AUTH, fields).await
}

/// What the answer says of a dry run, or the code of a refusal.
fn said(answer: &Answer) -> String {
    match (answer.status.as_u16(), answer.headers.get("x-kakunin-dry-run")) {
        (200, None) => "allowed".to_owned(),
        (200, Some(value)) => value.to_str().unwrap().to_owned(),
        (_, None) => code(answer),
        refused => panic!("{refused:?}"),
    }
}

/// As whose the request is passed on.
fn named(answer: &Answer) -> [&str; 2] {
    ["x-kakunin-cert-serial", "x-kakunin-spiffe-id"].map(|name| answer.headers[name].to_str().unwrap())
}

async fn events(w: &World) -> Vec<Value> {
    w.admin.get("/api/v1/events?limit=100").await.unwrap().data().as_array().unwrap().clone()
}

async fn counted(w: &World, code: &str) -> u64 {
    let text = w.admin.without_key().get("/metrics").await.unwrap();
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    let line = format!("kakunin_gateway_dry_run_total{{code=\"{code}\"}} ");
    text.lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn what_would_be_refused_is_on_record_as_it_is_and_let_through() {
    let w = dry(&["default"], &[]).await;
    let agent = w.agent("narrow", &["write:payments"]).await;
    let (cert, serial) = (leaf(&agent), agent.serial.to_string());
    let cert = ("x-client-cert", &*cert);
    assert_eq!(said(&auth(&w, &[cert, PAY]).await), "allowed");
    let before = counted(&w, "scope_violation").await;
    let answer = auth(&w, &[cert, VAULT]).await;
    assert_eq!((said(&answer).as_str(), answer.body.len()), ("would-deny; code=scope_violation", 0));
    assert_eq!(named(&answer)[0], serial);
    assert!(named(&answer)[1].ends_with(&agent.id));
    assert!(counted(&w, "scope_violation").await > before);
    let seen = events(&w).await;
    let facts = |event: &Value| {
        ["outcome", "out_of_scope", "attribution", "scored", "details"].map(|name| event[name].clone())
    };
    let details = json!({ "dry_run": true, "would_deny": "scope_violation" });
    assert_eq!(facts(&seen[0]), [json!("denied"), json!(true), json!("possession"), json!(true), details]);
    assert_eq!(facts(&seen[1]), [json!("ok"), json!(false), json!("possession"), json!(true), Value::Null]);
    assert!(w.risk(&agent).await["risk_score"].as_f64().unwrap() > 0.0, "it counts as what it is");
    // What is no action is the operator's fault, and on no record in a dry run either.
    assert_eq!(said(&auth(&w, &[cert]).await), "would-deny; code=action_malformed");
    assert_eq!(events(&w).await.len(), 2);
    // Nobody is of no tenant.
    assert_eq!(said(&auth(&w, &[PAY]).await), "missing_cert_serial");
    assert_eq!(said(&auth(&w, &[("x-client-cert", "rubbish"), PAY]).await), "certificate_malformed");
    // Who asks without being a gateway is none in a dry run.
    let elsewhere = world_with(|o| o.api.insecure_dry_run = DryRun::new().route("/*".parse().unwrap())).await;
    assert_eq!(said(&auth(&elsewhere, &[cert, PAY]).await), "gateway_unauthenticated");
}

#[tokio::test]
async fn a_dry_run_spares_requests_and_no_identities() {
    let w = dry(&["default"], &[]).await;
    let agent = w.agent("astray", &["write:payments"]).await;
    let cert = leaf(&agent);
    let mut acts = 0;
    while said(&auth(&w, &[("x-client-cert", &cert), VAULT]).await) == "would-deny; code=scope_violation" {
        acts += 1;
        assert!(acts < 300, "nothing was taken away");
    }
    let answer = auth(&w, &[("x-client-cert", &cert), PAY]).await;
    assert_eq!((said(&answer).as_str(), named(&answer)), ("would-deny; code=agent_revoked", ["", ""]));
    let status = w.admin.without_key().get(&format!("/api/v1/verify/{}", agent.serial)).await.unwrap();
    assert_eq!(status.text("revocation_reason"), "risk_threshold_exceeded");
}

#[tokio::test]
async fn an_agent_of_another_tenant_is_refused() {
    let w = dry(&["globex", "default2"], &[]).await;
    let agent = w.agent("one", &["write:payments"]).await;
    let cert = leaf(&agent);
    assert_eq!(said(&auth(&w, &[("x-client-cert", &cert), VAULT]).await), "scope_violation");
    assert_eq!(events(&w).await[0]["details"], Value::Null);
}

#[tokio::test]
async fn who_is_revoked_is_let_through_as_nobody() {
    let w = dry(&["default"], &[]).await;
    let agent = w.agent("one", &["write:payments"]).await;
    let cert = leaf(&agent);
    let fields = [("x-client-cert", &*cert), PAY];
    let hold = format!("/api/v1/certificates/{}/hold", agent.serial);
    assert_eq!(w.admin.post(&hold, &json!({})).await.unwrap().status, 200);
    let answer = auth(&w, &fields).await;
    assert_eq!((said(&answer).as_str(), named(&answer)), ("would-deny; code=agent_inactive", ["", ""]));
    let release = format!("/api/v1/certificates/{}/release", agent.serial);
    assert_eq!(w.admin.post(&release, &json!({})).await.unwrap().status, 200);
    assert_eq!(said(&auth(&w, &fields).await), "allowed");
    let revoke = format!("/api/v1/certificates/{}/revoke", agent.serial);
    assert_eq!(w.admin.post(&revoke, &json!({ "reason": "key_compromise" })).await.unwrap().status, 200);
    let mut codes = Vec::new();
    for _ in 0..60 {
        let answer = auth(&w, &fields).await;
        assert_eq!(named(&answer), ["", ""]);
        codes.push(said(&answer));
    }
    assert_eq!(codes[0], "would-deny; code=agent_revoked");
    // Beyond a limit nothing is recorded, as ever, and the request goes on its way.
    assert!(codes.iter().any(|code| code == "would-deny; code=rate_limited"), "{codes:?}");
    let recorded = events(&w).await.iter().filter(|e| e["details"]["would_deny"] == "agent_revoked").count();
    assert_eq!(recorded, codes.iter().filter(|code| code.ends_with("agent_revoked")).count());
    // Its own serial number claims what it showed.
    let serial = agent.serial.to_string();
    let with_serial = [fields[0], PAY, ("x-kakunin-cert-serial", &*serial)];
    assert!(said(&auth(&w, &with_serial).await).starts_with("would-deny"));
}

#[tokio::test]
async fn a_route_is_open_to_everybody_whichever_word_of_the_gateway_one_believes() {
    let w = dry(&[], &["GET /reports/*", "/health"]).await;
    let agent = w.agent("one", &["write:payments"]).await;
    let cert = leaf(&agent);
    let uri = |target: &'static str| ("x-original-uri", target);
    let method = |name: &'static str| ("x-original-method", name);
    let get = method("GET");
    let nobody = "would-deny; code=missing_cert_serial";
    let cases: [(&[(&str, &str)], &str); 22] = [
        (&[uri("/reports/1?full=1"), get, PAY], nobody),
        (&[uri("/reports/1"), method("HEAD"), PAY], nobody),
        (&[("x-forwarded-uri", "/reports/1"), ("x-forwarded-method", "GET"), PAY], nobody),
        (&[uri("/health"), PAY], nobody),
        (
            &[uri("/reports/1"), get, PAY, ("x-client-cert", "(null)")],
            "would-deny; code=certificate_malformed",
        ),
        (&[uri("/reports/1"), get, VAULT, ("x-client-cert", &cert)], "would-deny; code=scope_violation"),
        (&[uri("/reports/1"), get, PAY, ("x-client-cert", &cert)], "allowed"),
        // Another route, or none that is known.
        (&[PAY], "missing_cert_serial"),
        (&[uri("/reports/1"), PAY], "missing_cert_serial"),
        (&[uri("/reports/1"), method("POST"), PAY], "missing_cert_serial"),
        (&[uri("/reports"), get, PAY], "missing_cert_serial"),
        (&[uri("/vault"), get, VAULT, ("x-client-cert", &cert)], "scope_violation"),
        // A client adds a word of its own to the gateway's, before or behind it.
        (&[uri("/vault"), get, ("x-forwarded-uri", "/reports/1"), PAY], "missing_cert_serial"),
        (&[("x-forwarded-uri", "/reports/1"), uri("/vault"), get, PAY], "missing_cert_serial"),
        (&[uri("/reports/1"), uri("/vault"), get, PAY], "missing_cert_serial"),
        (&[uri("/reports/1"), get, method("DELETE"), PAY], "missing_cert_serial"),
        (&[uri("/reports/1"), get, ("x-forwarded-method", "DELETE"), PAY], "missing_cert_serial"),
        (&[uri("/reports/1"), get, ("x-http-method-override", "DELETE"), PAY], "missing_cert_serial"),
        (&[uri("http://x/reports/1"), get, PAY], "missing_cert_serial"),
        // It says that it is somebody's.
        (&[uri("/reports/1"), get, PAY, ("x-kakunin-cert-serial", "01")], "missing_cert_serial"),
        (&[uri("/reports/1"), get, PAY, ("x-kakunin-spiffe-id", "spiffe://a/b")], "missing_cert_serial"),
        (
            &[
                uri("/reports/1"),
                get,
                VAULT,
                ("x-client-cert", &cert),
                ("x-kakunin-spiffe-id", "spiffe://a/b"),
            ],
            "scope_violation",
        ),
    ];
    for (fields, expected) in cases {
        let answer = auth(&w, fields).await;
        assert_eq!(said(&answer), expected, "{fields:?}");
        if expected == nobody {
            assert_eq!(named(&answer), ["", ""], "{fields:?}");
        }
    }
    // As Envoy asks, behind the path, by the method of the request itself.
    for (verb, target, expected) in [
        (Method::GET, "/reports/1", nobody),
        (Method::POST, "/reports/1", "missing_cert_serial"),
        (Method::GET, "/vault", "missing_cert_serial"),
        (Method::GET, "/reports/../vault", "missing_cert_serial"),
    ] {
        let answer = as_it_is(&w.url, verb, &format!("{AUTH}{target}"), &[PAY]).await;
        assert_eq!(said(&answer), expected, "{target}");
        let forged = [PAY, uri("/reports/1"), get];
        let answer = as_it_is(&w.url, Method::GET, &format!("{AUTH}/vault"), &forged).await;
        assert_eq!(said(&answer), "missing_cert_serial");
    }
}

/// The paths of `examples/gateways/hostile-paths.tsv`: none is let through that could be read as another route.
#[tokio::test]
async fn what_can_be_read_in_more_than_one_way_is_refused_in_a_dry_run_too() {
    let w = dry(&["default"], &["/pay", "/pay/*", "/*"]).await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/gateways/hostile-paths.tsv");
    let table = std::fs::read_to_string(file).unwrap();
    let rows: Vec<_> = table
        .lines()
        .filter(|line| !line.starts_with("# ") && !line.contains("\\x"))
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .collect();
    let (mut let_in, mut refused) = (0, 0);
    for (number, rows) in rows.chunks(10).enumerate() {
        let cert = leaf(&w.agent(&format!("one{number}"), &["read:mail"]).await);
        for row in rows {
            let (method, target) = (row[1], row[2]);
            let is_plain = kakunin_verify::target::plain_target(target).is_ok()
                && kakunin_verify::target::is_plain_method(method);
            for (uri, verb) in
                [("x-forwarded-uri", "x-forwarded-method"), ("x-original-uri", "x-original-method")]
            {
                let asked = [(uri, target), (verb, method), PAY];
                let nobody = said(&auth(&w, &asked).await);
                let agent = said(&auth(&w, &[&asked[..], &[("x-client-cert", &*cert)]].concat()).await);
                // What is spelt with an authority is of no route, and of the tenant.
                let spared = [&nobody, &agent].map(|said| said.starts_with("would-deny"));
                assert_eq!(spared[0], is_plain, "{row:?}: {nobody}");
                assert!(spared[1] == is_plain || target.starts_with("http://"), "{row:?}: {agent}");
                *(if is_plain { &mut let_in } else { &mut refused }) += 1;
            }
        }
    }
    assert!(let_in > 20 && refused > 120, "{let_in} {refused}");
}

/// A gateway's question on behalf of an agent that sent it `method target`.
async fn passed_on(agent: &Agent, target: &str, action: &str) -> Value {
    let signed = agent.sign_for("pay.example", "POST", target, b"").await.unwrap();
    let headers: serde_json::Map<_, _> =
        signed.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let request =
        json!({ "method": "POST", "target": target, "authority": "pay.example", "headers": headers });
    json!({ "action": action, "request": request })
}

#[tokio::test]
async fn the_check_says_what_it_would_be() {
    let w = dry(&["default"], &[]).await;
    let agent = w.agent("one", &["write:payments"]).await;
    let (own, foreign) = (w.key("default", "reporter").await, w.key("globex", "reporter").await);
    let allowed = check(&own, &[], &passed_on(&agent, "/pay", "write:payments").await).await;
    assert_eq!(said(&allowed), "allowed");
    assert!(allowed.data().get("dry_run").is_none() && allowed.data().get("would").is_none());
    let answer = check(&own, &[], &passed_on(&agent, "/pay", "delete:vault").await).await;
    let data = answer.data();
    assert_eq!(said(&answer), "would-deny; code=scope_violation");
    assert_eq!((&data["decision"], &data["dry_run"]), (&json!("allow"), &json!(true)));
    let would = &data["would"];
    assert_eq!((&would["decision"], &would["status"]), (&json!("deny"), &json!(403)));
    assert_eq!((&would["code"], &data["agent_id"]), (&json!("scope_violation"), &json!(agent.id)));
    assert!(would["message"].as_str().unwrap().contains("delete:vault"), "{would}");
    let seen = events(&w).await;
    assert_eq!((&seen[0]["id"], &seen[0]["outcome"]), (&data["event_id"], &json!("denied")));
    assert_eq!(seen[0]["details"]["would_deny"], "scope_violation");
    // The agent itself may ask, too. Another tenant's gateway is in no dry run of this one.
    assert_eq!(said(&agent.ask("delete:vault", "t", "s").await.unwrap()), "would-deny; code=scope_violation");
    let answer = check(&foreign, &[], &passed_on(&agent, "/pay", "delete:vault").await).await;
    assert_eq!(said(&answer), "scope_violation");
    let last = events(&w).await[0].clone();
    assert_eq!((&last["attribution"], &last["details"]), (&json!("asserted"), &Value::Null));
    // What is sent again is anybody's.
    let again = passed_on(&agent, "/pay", "write:payments").await;
    assert_eq!(said(&check(&own, &[], &again).await), "allowed");
    assert_eq!(said(&check(&own, &[], &again).await), "possession_replayed");
    // Who asks has to be a gateway, and what it asks one thing.
    let nobody = check(&own.without_key(), &[], &passed_on(&agent, "/pay", "delete:vault").await).await;
    assert_eq!(said(&nobody), "gateway_unauthenticated");
    for target in ["/pay/../vault", "/pay/..%2fvault", "/pay/%2e%2e/vault", "/pay?_method=DELETE"] {
        let answer = check(&own, &[], &passed_on(&agent, target, "write:payments").await).await;
        assert_eq!(said(&answer), "target_ambiguous", "{target}");
    }
    // Revoked, it is nobody.
    let revoke = format!("/api/v1/certificates/{}/revoke", agent.serial);
    assert_eq!(w.admin.post(&revoke, &json!({ "reason": "key_compromise" })).await.unwrap().status, 200);
    let answer = check(&own, &[], &passed_on(&agent, "/pay", "write:payments").await).await;
    assert_eq!(said(&answer), "would-deny; code=agent_revoked");
    for member in ["agent_id", "tenant_id", "certificate_serial", "spiffe_id", "expires_at", "attribution"] {
        assert!(answer.data().get(member).is_none(), "{member}");
    }
    // Its certificate opens nothing else: what agents do by it themselves is not in a dry run.
    let renew = agent.sign("POST", "/api/v1/enroll/renew", b"{}").await.unwrap();
    let fields: Vec<_> = renew.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let fields = [&[("content-type", "application/json")], &fields[..]].concat();
    let answer = w
        .admin
        .without_key()
        .send(Method::POST, "/api/v1/enroll/renew", &fields, b"{}".to_vec())
        .await
        .unwrap();
    assert!((400..500).contains(&answer.status.as_u16()), "{}", answer.status);
}

#[tokio::test]
async fn a_route_of_the_check_is_that_of_the_request_passed_on() {
    let w = dry(&[], &["POST /pay"]).await;
    let agent = w.agent("one", &["write:payments"]).await;
    let own = w.key("default", "reporter").await;
    let bare = |target: &str, headers: Value| {
        let request =
            json!({ "method": "POST", "target": target, "authority": "a.example", "headers": headers });
        json!({ "action": "write:payments", "request": request })
    };
    let answer = check(&own, &[], &bare("/pay?a=1", json!({}))).await;
    assert_eq!(said(&answer), "would-deny; code=missing_cert_serial");
    let data = answer.data();
    assert_eq!((&data["event_id"], data.get("agent_id")), (&Value::Null, None));
    assert_eq!(data["would"]["status"], 401);
    assert_eq!(said(&check(&own, &[], &bare("/vault", json!({}))).await), "missing_cert_serial");
    let serial = json!({ "x-kakunin-cert-serial": agent.serial.to_string() });
    assert_eq!(said(&check(&own, &[], &bare("/pay", serial)).await), "possession_missing");
    // Somebody uses a certificate that is not theirs: on record, let through, and told to its owner.
    let stolen = passed_on(&agent, "/elsewhere", "write:payments").await["request"]["headers"].clone();
    let answer = check(&own, &[], &bare("/pay", stolen)).await;
    assert_eq!(said(&answer), "would-deny; code=possession_invalid");
    assert!(answer.data().get("agent_id").is_none());
    assert_eq!(w.inbox().await, ["system_alert"]);
    assert_eq!(said(&agent.ask("delete:vault", "t", "s").await.unwrap()), "scope_violation", "of no route");
    assert_eq!(
        said(&check(&own, &[], &passed_on(&agent, "/pay", "delete:vault").await).await),
        "would-deny; code=scope_violation"
    );
}

#[tokio::test]
async fn a_serial_number_alone_is_nobody_in_a_dry_run() {
    let w = world_with(|o| {
        o.api.insecure_serial_only = true;
        o.api.insecure_dry_run = DryRun::new().tenant("default".parse().unwrap());
    })
    .await;
    let agent = w.agent("one", &["read:mail"]).await;
    let (serial, body) = (agent.serial.to_string(), json!({ "action": "delete:x" }));
    let answer = check(&w.admin.without_key(), &[("x-kakunin-cert-serial", &serial)], &body).await;
    assert_eq!(said(&answer), "scope_violation");
}
