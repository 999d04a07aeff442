//! The gateway check: who is let in, what is recorded, and what a stranger cannot do to an agent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{check, code, world, world_with};
use kakunin_server::demo::Agent;
use kakunin_verify::possession::CertificateEncoding;
use serde_json::{Value, json};

const CHECK: &str = "/api/v1/gateway/check";

fn fields<'a>(signed: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    signed.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A gateway's question on behalf of an agent that sent it `method target`.
async fn passed_on(agent: &Agent, action: &str) -> Value {
    let signed = agent.sign_for("pay.example", "POST", "/pay?to=x", b"").await.unwrap();
    let headers: serde_json::Map<_, _> =
        signed.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let request =
        json!({ "method": "POST", "target": "/pay?to=x", "authority": "pay.example", "headers": headers });
    json!({ "action": action, "request": request })
}

#[tokio::test]
async fn an_agent_that_reports_nothing_is_revoked_by_its_refusals_alone() {
    let w = world().await;
    let (astray, honest) = (w.agent("astray", &["read:mail"]).await, w.agent("honest", &["read:mail"]).await);
    let mut refusals = 0;
    let last = loop {
        let answer = astray.ask(&format!("delete:vault-{refusals}"), "t", "s").await.unwrap();
        assert_eq!(answer.status, 403);
        refusals += 1;
        assert!(refusals < 100, "nothing was taken away");
        if code(&answer) != "scope_violation" {
            break code(&answer);
        }
    };
    assert_eq!(last, "agent_revoked");
    assert_eq!(code(&astray.ask("read:mail", "t", "s").await.unwrap()), "agent_revoked");
    assert_eq!(honest.ask("read:mail", "t", "s").await.unwrap().status, 200);
    let status = w.admin.without_key().get(&format!("/api/v1/verify/{}", astray.serial)).await.unwrap();
    assert_eq!(
        (status.text("status"), status.text("revocation_reason")),
        ("revoked".into(), "risk_threshold_exceeded".into())
    );
    assert_eq!(w.inbox().await, ["risk_threshold_crossed", "pre_revocation_warning"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_who_asks_after_a_revocation_was_answered() {
    let w = world().await;
    for order in ["revoke", "hold", "halt"] {
        let agent = Arc::new(w.agent(order, &["read:mail"]).await);
        let gone = Arc::new(AtomicBool::new(false));
        let askers: Vec<_> = (0..6)
            .map(|_| {
                let (agent, gone) = (agent.clone(), gone.clone());
                tokio::spawn(async move {
                    let mut counts = (0, 0);
                    for _ in 0..60 {
                        let after = gone.load(Ordering::SeqCst);
                        let status = agent.ask("read:mail", "t", "s").await.unwrap().status.as_u16();
                        assert!(
                            [403, 429].contains(&status) || (status == 200 && !after),
                            "{status} {after}"
                        );
                        counts = if after { (counts.0, counts.1 + 1) } else { (counts.0 + 1, counts.1) };
                    }
                    counts
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let (path, body) = match order {
            "halt" => (format!("/api/v1/agents/{}/halt", agent.id), json!({})),
            "hold" => (format!("/api/v1/certificates/{}/hold", agent.serial), json!({})),
            _ => (
                format!("/api/v1/certificates/{}/{order}", agent.serial),
                json!({ "reason": "operator_initiated" }),
            ),
        };
        assert_eq!(w.admin.post(&path, &body).await.unwrap().status, 200);
        gone.store(true, Ordering::SeqCst);
        let mut after = 0;
        for asker in askers {
            after += asker.await.unwrap().1;
        }
        assert!(after > 0, "nobody asked afterwards");
    }
}

#[tokio::test]
async fn ten_thousand_requests_with_a_copied_serial_change_nothing_and_alert_once() {
    let w = world_with(|options| options.api.key_rate = std::num::NonZeroU32::MAX).await;
    let owner = w.agent("owner", &["read:mail"]).await;
    assert_eq!(owner.ask("read:mail", "t", "s").await.unwrap().status, 200);
    let size =
        |log: Value| log["checkpoint"].as_str().unwrap().lines().nth(1).unwrap().parse::<u64>().unwrap();
    let log = || async { size(w.admin.get("/api/v1/audit-log?limit=1").await.unwrap().json()) };
    let (before, size_before) = (w.risk(&owner).await, log().await);
    let stranger = w.admin.without_key();
    let (serial, signed) = (owner.serial.to_string(), owner.sign("POST", "/elsewhere", b"").await.unwrap());
    let body = json!({ "action": "delete:everything" });
    for n in 0..10_000 {
        let answer = match n % 3 {
            // The serial number, the certificate, and the certificate with a signature over something else.
            0 => check(&stranger, &[("x-kakunin-cert-serial", &serial)], &body).await,
            1 => check(&stranger, &fields(&signed)[..1], &body).await,
            _ => check(&stranger, &fields(&signed), &body).await,
        };
        assert_eq!(answer.status, 401, "{n}");
        assert_eq!(code(&answer), if n % 3 == 2 { "possession_invalid" } else { "possession_missing" });
    }
    let after = w.risk(&owner).await;
    for member in ["risk_score", "total_events", "factors", "trend", "agent_status"] {
        assert_eq!(after[member], before[member], "{member}");
    }
    assert_eq!(w.inbox().await, ["system_alert"]);
    assert_eq!(log().await, size_before + 1, "the alert, and nothing else");
    assert_eq!(owner.ask("read:mail", "t", "s").await.unwrap().status, 200);
}

#[tokio::test]
async fn an_agent_without_an_identity_lengthens_the_log_slowly() {
    let w = world().await;
    let agent = w.agent("gone", &["read:mail"]).await;
    let revoke = format!("/api/v1/certificates/{}/revoke", agent.serial);
    w.admin.post(&revoke, &json!({ "reason": "key_compromise" })).await.unwrap();
    let mut statuses = Vec::new();
    for _ in 0..200 {
        statuses.push(agent.ask("read:mail", "t", "s").await.unwrap().status.as_u16());
    }
    assert_eq!((statuses[0], statuses.contains(&200)), (403, false));
    let refused = statuses.iter().filter(|s| **s == 403).count();
    let events = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
    assert_eq!(events.as_array().unwrap().len(), refused.min(100), "each refusal is on record");
    assert!(refused < 100 && statuses.contains(&429), "{refused}");
}

#[tokio::test]
async fn a_gateway_asks_for_an_agent_with_a_key_of_its_own() {
    let w = world().await;
    let agent = w.agent("one", &["write:payments"]).await;
    let (own, foreign) = (w.key("default", "reporter").await, w.key("globex", "reporter").await);
    let allowed = check(&own, &[], &passed_on(&agent, "write:payments").await).await;
    assert_eq!((allowed.status.as_u16(), allowed.text("attribution")), (200, "possession".to_owned()));
    let nobody = check(&own.without_key(), &[], &passed_on(&agent, "write:payments").await).await;
    assert_eq!((nobody.status.as_u16(), code(&nobody)), (401, "gateway_unauthenticated".to_owned()));
    let reader = w.key("default", "reader").await;
    assert_eq!(check(&reader, &[], &passed_on(&agent, "write:payments").await).await.status, 401);
    let again = passed_on(&agent, "write:payments").await;
    assert_eq!(check(&own, &[], &again).await.status, 200);
    assert_eq!(code(&check(&own, &[], &again).await), "possession_replayed");
    // Another tenant's gateway may ask; what it says the agent wanted moves no score.
    let before = w.risk(&agent).await;
    let refused = check(&foreign, &[], &passed_on(&agent, "delete:everything").await).await;
    assert_eq!((refused.status.as_u16(), code(&refused)), (403, "scope_violation".to_owned()));
    assert_eq!(w.risk(&agent).await["risk_score"], before["risk_score"]);
    let events = w.admin.get("/api/v1/events?limit=1").await.unwrap().data();
    assert_eq!((&events[0]["attribution"], &events[0]["outcome"]), (&json!("asserted"), &json!("denied")));
}

#[tokio::test]
async fn what_was_signed_is_what_is_checked() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let client = w.admin.without_key();
    let body = json!({ "action": "read:mail" });
    let text = body.to_string();
    let signed = agent.sign("POST", CHECK, text.as_bytes()).await.unwrap();
    let other_digest = [&fields(&signed)[..3], &[("content-digest", "sha-256=:AAAA:")]].concat();
    assert_eq!(code(&check(&client, &other_digest, &body).await), "possession_invalid");
    assert_eq!(code(&check(&client, &fields(&signed)[..3], &body).await), "possession_invalid");
    let other = json!({ "action": "read:other" });
    assert_eq!(code(&check(&client, &fields(&signed), &other).await), "possession_invalid");
    assert_eq!(check(&client, &fields(&signed), &body).await.status, 200, "and nothing was used up");
    assert_eq!(code(&check(&client, &fields(&signed), &body).await), "possession_replayed");
    let bare = agent.sign("POST", CHECK, b"").await.unwrap();
    assert_eq!(code(&check(&client, &fields(&bare), &body).await), "possession_invalid", "not the content");
    let elsewhere = agent.sign("GET", CHECK, text.as_bytes()).await.unwrap();
    assert_eq!(code(&check(&client, &fields(&elsewhere), &body).await), "possession_invalid");
    let nothing = check(&client, &[], &body).await;
    assert_eq!((nothing.status.as_u16(), code(&nothing)), (401, "missing_cert_serial".to_owned()));
    let held =
        w.admin.post(&format!("/api/v1/certificates/{}/hold", agent.serial), &json!({})).await.unwrap();
    assert_eq!(held.status, 200);
    assert_eq!(code(&agent.ask("read:mail", "t", "s").await.unwrap()), "agent_inactive");
    let free =
        w.admin.post(&format!("/api/v1/certificates/{}/release", agent.serial), &json!({})).await.unwrap();
    assert_eq!(free.status, 200);
    assert_eq!(agent.ask("read:mail", "t", "s").await.unwrap().status, 200);
    assert_eq!(code(&agent.ask("no action", "t", "s").await.unwrap()), "action_malformed");
}

/// What a gateway makes an action of is often the agent's choice, such as the name of a tool.
#[tokio::test]
async fn an_action_that_is_none_is_refused_on_record_and_counts() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let hostile = ["call:../../vault", "call:*", "call:", "", "call:tool x", "call:\u{202e}", "CALL:x"];
    let asked = |n: usize| hostile[n % hostile.len()].to_owned() + &"x".repeat(n / hostile.len() * 400);
    let mut codes = Vec::new();
    for n in 0..40 {
        codes.push(code(&agent.ask(&asked(n), "t", "s").await.unwrap()));
        if codes.last().is_some_and(|code| code == "agent_revoked") {
            break;
        }
    }
    let refused = codes.iter().filter(|code| *code == "action_malformed").count();
    assert!((8..30).contains(&refused) && refused + 1 == codes.len(), "{codes:?}");
    let events = w.admin.get("/api/v1/events?limit=100").await.unwrap();
    let events = events.json()["data"].as_array().unwrap().clone();
    assert!(
        events.iter().filter(|e| e["action"] == "call:malformed" && e["outcome"] == "denied").count()
            >= refused
    );
}

/// Certificates as RFC 9440 has them, in the field of each form.
fn spoofed(agent: &Agent) -> Vec<(&'static str, String)> {
    let der = [agent.certificate_der()];
    vec![
        ("client-cert", CertificateEncoding::ByteSequence.write(&der)),
        ("x-client-cert", CertificateEncoding::UrlPem.write(&der)),
        ("x-ssl-cert", CertificateEncoding::UrlPem.write(&der)),
        ("x-forwarded-tls-client-cert", CertificateEncoding::Base64List.write(&der)),
        ("x-forwarded-client-cert", CertificateEncoding::Xfcc.write(&der)),
    ]
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_about_addresses_and_a_gateway_in_its_own_form() {
    let here = || vec!["127.0.0.1".parse().unwrap()];
    let gateway = |form: &str| vec![format!("::ffff:127.0.0.1={form}").parse().unwrap()];
    let worlds = [
        (world().await, None),
        (world_with(|o| o.api.trusted_proxies = here()).await, None),
        (world_with(|o| o.api.gateways = gateway("rfc9440")).await, Some("client-cert")),
        (world_with(|o| o.api.gateways = gateway("nginx")).await, Some("x-client-cert")),
        (
            world_with(|o| (o.api.trusted_proxies, o.api.gateways) = (here(), gateway("traefik"))).await,
            Some("x-forwarded-tls-client-cert"),
        ),
    ];
    for (w, believed) in worlds {
        let agent = w.agent("one", &["read:mail"]).await;
        let client = w.admin.without_key();
        for (name, value) in spoofed(&agent) {
            let answer = check(&client, &[(name, &value)], &json!({ "action": "delete:x" })).await;
            let expected = if Some(name) == believed { "scope_violation" } else { "missing_cert_serial" };
            assert_eq!(code(&answer), expected, "{name} where {believed:?} is believed");
        }
        // Whose client showed none may still sign.
        if let Some(name) = believed {
            let body = json!({ "action": "read:mail" });
            let signed = agent.sign("POST", CHECK, body.to_string().as_bytes()).await.unwrap();
            let with_nothing = [fields(&signed), vec![(name, "")]].concat();
            assert_eq!(check(&client, &with_nothing, &body).await.status, 200, "{name}");
        }
        let events = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
        assert_eq!(events.as_array().unwrap().len(), if believed.is_some() { 2 } else { 0 });
    }
}

#[tokio::test]
async fn a_body_names_agents_of_the_callers_tenant_at_most() {
    let gateway = vec!["127.0.0.1=rfc9440".parse().unwrap()];
    let w = world_with(|o| (o.api.gateways, o.api.insecure_serial_only) = (gateway, true)).await;
    let victim = w.agent("victim", &["read:mail"]).await;
    let (own, foreign) = (w.key("default", "reporter").await, w.key("globex", "reporter").await);
    let leaf = CertificateEncoding::ByteSequence.write(&[victim.certificate_der()]);
    let serial = victim.serial.to_string();
    let body = |headers: &Value| {
        let request = json!({ "method": "GET", "target": "/", "authority": "a.example", "headers": headers });
        json!({ "action": "delete:x", "request": request })
    };
    let records =
        || async { w.admin.get("/api/v1/events?limit=100").await.unwrap().data().as_array().unwrap().len() };
    let named = [
        json!({ "client-cert": leaf }),
        json!({ "client-cert": leaf, "client-cert-chain": leaf }),
        json!({ "client-cert": leaf, "x-kakunin-cert-serial": serial }),
        json!({ "x-kakunin-cert-serial": serial }),
        json!({ "x-kakunin-certificate": leaf }),
        json!({ "x-kakunin-certificate": leaf, "signature-input": "a", "signature": "b" }),
    ];
    let nowhere =
        code(&check(&foreign, &[], &body(&json!({ "x-kakunin-cert-serial": "41".repeat(16) }))).await);
    for headers in &named {
        let answer = check(&foreign, &[], &body(headers)).await;
        assert!(
            [nowhere.as_str(), "possession_invalid"].contains(&&*code(&answer)),
            "{headers}: {}",
            code(&answer)
        );
        let stranger = check(&own.without_key(), &[], &body(headers)).await;
        assert_eq!(code(&stranger), "gateway_unauthenticated");
    }
    assert_eq!((records().await, w.inbox().await), (0, vec![]), "another tenant's log is not touched");
    assert_eq!(w.risk(&victim).await["risk_score"], 0.0);
    // A gateway of the tenant's own may say whom it saw.
    assert_eq!(code(&check(&own, &[], &body(&named[0])).await), "scope_violation");
    assert_eq!(records().await, 1);
    // Not one that is trusted about addresses alone.
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let elsewhere = world_with(|o| o.api.trusted_proxies = proxies).await;
    let agent = elsewhere.agent("one", &["read:mail"]).await;
    let leaf = CertificateEncoding::ByteSequence.write(&[agent.certificate_der()]);
    let reporter = elsewhere.key("default", "reporter").await;
    let answer = check(&reporter, &[], &body(&json!({ "client-cert": leaf }))).await;
    assert_eq!(code(&answer), "missing_cert_serial");
}

#[tokio::test]
async fn a_foreign_gateway_writes_nothing_about_an_agent_whose_certificate_does_not_stand() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let foreign = w.key("globex", "reporter").await;
    let asked = passed_on(&agent, "read:mail").await;
    let halt = w.admin.post(&format!("/api/v1/agents/{}/halt", agent.id), &json!({})).await.unwrap();
    assert_eq!(halt.status, 200);
    for _ in 0..5 {
        assert_eq!(code(&check(&foreign, &[], &asked).await), "agent_revoked");
    }
    let events = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
    assert_eq!(events.as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_bare_serial_is_taken_only_under_the_flag_that_says_insecure() {
    let w = world_with(|options| options.api.insecure_serial_only = true).await;
    let agent = w.agent("one", &["read:mail"]).await;
    let serial = agent.serial.to_string();
    let ask = |serial: String, action: &'static str| {
        let client = w.admin.without_key();
        async move { check(&client, &[("x-kakunin-cert-serial", &serial)], &json!({ "action": action })).await }
    };
    let allowed = ask(serial.clone(), "read:mail").await;
    assert_eq!((allowed.status.as_u16(), allowed.text("attribution")), (200, "asserted".to_owned()));
    for _ in 0..50 {
        assert_eq!(code(&ask(serial.clone(), "delete:x").await), "scope_violation");
    }
    assert_eq!(w.risk(&agent).await["risk_score"], 0.0, "nobody showed that it was the agent");
    let unknown = ask("41".repeat(16), "read:mail").await;
    assert_eq!((unknown.status.as_u16(), code(&unknown)), (403, "cert_not_found".to_owned()));
}

#[tokio::test]
async fn a_gateway_that_passes_on_what_can_be_read_in_more_than_one_way_gets_no_yes() {
    let w = world().await;
    let agent = w.agent("one", &["write:payments"]).await;
    let reporter = w.key("default", "reporter").await;
    let asked = async |method: &str, target: &str, more: Option<&str>| {
        let signed = agent.sign_for("pay.example", method, target, b"").await.unwrap();
        let mut headers: serde_json::Map<_, _> =
            signed.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        headers.extend(more.map(|name| (name.to_owned(), "/vault".into())));
        let request =
            json!({ "method": method, "target": target, "authority": "pay.example", "headers": headers });
        check(&reporter, &[], &json!({ "action": "write:payments", "request": request })).await
    };
    assert_eq!(asked("POST", "/pay?to=x", None).await.status, 200);
    for target in [
        "/pay/../vault",
        "/pay/..%2fvault",
        "/pay/%2e%2e/vault",
        "//vault",
        "/pay;/../vault",
        "/pay\\..\\vault",
        "/pay?_method=DELETE",
    ] {
        let answer = asked("POST", target, None).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (403, "target_ambiguous".to_owned()), "{target}");
    }
    assert_eq!(code(&asked("post", "/pay", None).await), "target_ambiguous");
    for name in kakunin_verify::target::OVERRIDE_HEADERS {
        assert_eq!(code(&asked("POST", "/pay", Some(name)).await), "target_ambiguous", "{name}");
    }
    // On record as refused; the action itself is within its scope.
    let events = w.admin.get("/api/v1/events?limit=5").await.unwrap().data();
    let outside = |event: &Value| (event["outcome"].clone(), event["out_of_scope"].clone());
    assert!(events.as_array().unwrap().iter().all(|event| outside(event) == (json!("denied"), json!(false))));
}
