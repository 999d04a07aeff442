//! The gateway check: who is let in, what is recorded, and what a stranger cannot do to an agent.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{check, code, world, world_with};
use kakunin_server::demo::Agent;
use serde_json::{Value, json};

const CHECK: &str = "/api/v1/gateway/check";

fn fields<'a>(signed: &'a [(&'static str, String); 3]) -> Vec<(&'a str, &'a str)> {
    signed.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// A gateway's question on behalf of an agent that sent it `method target`.
async fn passed_on(agent: &Agent, action: &str) -> Value {
    let signed = agent.sign("POST", "/pay?to=x").await.unwrap();
    let headers: serde_json::Map<_, _> =
        signed.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    json!({ "action": action, "request": { "method": "POST", "target": "/pay?to=x", "headers": headers } })
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
            _ => (format!("/api/v1/certificates/{}/{order}", agent.serial), json!({ "reason": "x" })),
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
    let (serial, signed) = (owner.serial.to_string(), owner.sign("POST", "/elsewhere").await.unwrap());
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
    let signed = agent.sign("POST", CHECK).await.unwrap();
    let with_digest = [fields(&signed), vec![("content-digest", "sha-256=:AAAA:")]].concat();
    assert_eq!(code(&check(&client, &with_digest, &body).await), "possession_invalid");
    assert_eq!(check(&client, &fields(&signed), &body).await.status, 200);
    assert_eq!(code(&check(&client, &fields(&signed), &body).await), "possession_replayed");
    let elsewhere = agent.sign("GET", CHECK).await.unwrap();
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

#[tokio::test]
async fn a_proxy_is_believed_only_if_it_is_configured() {
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let (trusting, w) = (world_with(|o| o.api.trusted_proxies = proxies).await, world().await);
    for (world, expected) in [(trusting, 200), (w, 401)] {
        let agent = world.agent("one", &["read:mail"]).await;
        let leaf = agent.sign("POST", CHECK).await.unwrap()[0].1.clone();
        let body = json!({ "action": "read:mail" });
        let client = world.admin.without_key();
        assert_eq!(check(&client, &[("client-cert", &leaf)], &body).await.status, expected);
    }
}

#[tokio::test]
async fn a_proxy_that_passes_a_body_on_vouches_for_nothing_in_it() {
    let proxies = vec!["127.0.0.1".parse().unwrap()];
    let w = world_with(|o| o.api.trusted_proxies = proxies).await;
    let victim = w.agent("victim", &["read:mail"]).await;
    let leaf = victim.sign("GET", "/").await.unwrap()[0].1.clone();
    let headers = json!({ "client-cert": leaf });
    let body =
        json!({ "action": "delete:x", "request": { "method": "GET", "target": "/", "headers": headers } });
    let stranger = check(&w.admin.without_key(), &[], &body).await;
    assert_eq!((stranger.status.as_u16(), code(&stranger)), (401, "gateway_unauthenticated".to_owned()));
    // A gateway of the tenant's own may say whom it saw.
    assert_eq!(code(&check(&w.key("default", "reporter").await, &[], &body).await), "scope_violation");
    let elsewhere = world().await;
    let agent = elsewhere.agent("one", &["read:mail"]).await;
    let leaf = agent.sign("GET", "/").await.unwrap()[0].1.clone();
    let headers = json!({ "client-cert": leaf });
    let body =
        json!({ "action": "read:mail", "request": { "method": "GET", "target": "/", "headers": headers } });
    let reporter = elsewhere.key("default", "reporter").await;
    assert_eq!(
        code(&check(&reporter, &[], &body).await),
        "missing_cert_serial",
        "not from a configured proxy"
    );
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
        let signed = agent.sign(method, target).await.unwrap();
        let mut headers: serde_json::Map<_, _> =
            signed.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        headers.extend(more.map(|name| (name.to_owned(), "/vault".into())));
        let request = json!({ "method": method, "target": target, "headers": headers });
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
    ] {
        let answer = asked("POST", target, None).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (403, "target_ambiguous".to_owned()), "{target}");
    }
    assert_eq!(code(&asked("post", "/pay", None).await), "target_ambiguous");
    for name in kakunin_verify::target::OVERRIDE_HEADERS {
        assert_eq!(code(&asked("POST", "/pay", Some(name)).await), "target_ambiguous", "{name}");
    }
}
