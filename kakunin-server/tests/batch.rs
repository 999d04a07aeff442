//! Events as hostile agents choose them, and reporters that are not alone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use axum::http::Method;
use common::{World, check, code, world, world_with};
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

const BATCH: &str = "/api/v1/events/batch";
const EVENTS: &str = "/api/v1/events";

/// Many agents fall here, one after the other.
async fn without_breaker() -> World {
    world_with(|options| options.default_policy.breaker = None).await
}

async fn raw(client: &Client, path: &str, body: &[u8]) -> Answer {
    client.send(Method::POST, path, &[("content-type", "application/json")], body.to_vec()).await.unwrap()
}

async fn listed(w: &World) -> Vec<Value> {
    w.admin.get("/api/v1/events?limit=100").await.unwrap().data().as_array().unwrap().clone()
}

/// 50 refusals in a body, with these octets among them as one more element.
fn among_refusals(serial: &str, hostile: &[u8]) -> Vec<u8> {
    let refusal = |n: usize| {
        json!({ "serial": serial, "action": "delete:backups", "outcome": "denied", "target": format!("t{n}") })
            .to_string()
            .into_bytes()
    };
    let mut events: Vec<_> = (0..50).map(refusal).collect();
    events.insert(25, hostile.to_vec());
    [b"{\"events\":[", events.join(&b","[..]).as_slice(), b"]}"].concat()
}

#[tokio::test]
async fn one_event_that_cannot_be_taken_costs_itself_alone() {
    let w = without_breaker().await;
    let foreign = "41".repeat(16);
    let hostile: [(&[u8], &str, Value); 14] = [
        (b"\"serial\":\"FOREIGN\",\"action\":\"read:mail\"", "not_found", json!("certificate_serial")),
        (b"\"serial\":\"x\",\"action\":\"read:mail\"", "not_found", json!("certificate_serial")),
        (b"SERIAL,\"action\":\"read:mail\",\"tool\":\"TOOL65\"", "name_invalid", json!("tool")),
        (
            b"SERIAL,\"action\":\"read:mail\",\"amount\":{\"minor\":1e999,\"currency\":\"EUR\"}",
            "json_number_inexact",
            json!("amount"),
        ),
        (
            b"SERIAL,\"action\":\"read:mail\",\"details\":{\"x\":1e999}",
            "json_number_inexact",
            json!("details"),
        ),
        (b"SERIAL,\"action\":\"read:mail\",\"details\":{\"x\":NaN}", "json_malformed", json!("details")),
        (
            b"SERIAL,\"action\":\"read:mail\",\"details\":{\"x\":1,\"x\":2}",
            "json_member_twice",
            json!("details"),
        ),
        (
            b"SERIAL,\"action\":\"read:mail\",\"details\":{\"x\":\"LONG\"}",
            "details_invalid",
            json!("details"),
        ),
        (b"SERIAL,\"action\":\"read:mail\",\"target\":\"\\ud800\"", "json_surrogate", json!("target")),
        (b"SERIAL,\"action\":\"read:mail\",\"target\":\"\xff\"", "json_malformed", json!("target")),
        (b"SERIAL,\"action\":\"read:../mail\"", "scope_malformed", json!("action")),
        (
            b"SERIAL,\"action\":\"read:mail\",\"stream\":{\"stream\":1,\"seq\":1e999}",
            "json_number_inexact",
            json!("stream"),
        ),
        (b"SERIAL,\"action\":\"read:mail\",\"unknown\":1", "body_invalid", json!("unknown")),
        (b"SERIAL,\"action\":[[[[[[", "", Value::Null),
    ];
    for (n, (text, expected, field)) in hostile.into_iter().enumerate() {
        let agent = w.agent(&format!("led astray {n}"), &["read:mail"]).await;
        let text = String::from_utf8_lossy(text)
            .replace("FOREIGN", &foreign)
            .replace("SERIAL", &format!("\"serial\":\"{}\"", agent.serial))
            .replace("TOOL65", &"x".repeat(65))
            .replace("LONG", &"y".repeat(17_000));
        let mut octets = format!("{{{text}}}").into_bytes();
        if let Some(at) = text.find('\u{fffd}') {
            octets.splice(at + 1..at + 4, [0xff]);
        }
        let body = among_refusals(&agent.serial.to_string(), &octets);
        let answer = raw(&w.admin, BATCH, &body).await;
        if expected.is_empty() {
            assert_eq!(
                (answer.status.as_u16(), code(&answer)),
                (400, "json_malformed".to_owned()),
                "no JSON at all"
            );
            continue;
        }
        assert_eq!(answer.status, 207, "{text}: {:?}", answer.json());
        let data = answer.data();
        assert_eq!((data["results"].as_array().unwrap().len(), &data["refused"]), (51, &json!(1)));
        let bad = &data["results"][25];
        assert_eq!(
            (&bad["index"], &bad["status"], &bad["code"]),
            (&json!(25), &json!("refused"), &json!(expected)),
            "{text}"
        );
        assert_eq!(bad["field"], field, "{text}: {bad}");
        assert!(bad["error"].as_str().is_some_and(|sentence| !sentence.is_empty()));
        assert_eq!(
            (&data["results"][0]["index"], &data["results"][0]["status"]),
            (&json!(0), &json!("scored"))
        );
        let standing = w.admin.get(&format!("/api/v1/verify/{}", agent.serial)).await.unwrap();
        assert_eq!(standing.text("revocation_reason"), "risk_threshold_exceeded", "{text}");
    }
}

#[tokio::test]
async fn no_name_that_an_agent_chooses_keeps_its_refusals_from_counting() {
    let w = without_breaker().await;
    let bad: [(&str, &str, &str); 11] = [
        ("tool", "\"LONG\"", "name_invalid"),
        ("tool", "7", "body_invalid"),
        ("target", "\"a\\u0000b\"", "name_invalid"),
        ("session_id", "\"LONG\"", "name_invalid"),
        ("counterparty", "\"a\\u202eb\"", "name_invalid"),
        ("chainId", "\"\\udfff\"", "json_surrogate"),
        ("action", "\"delete:../../etc\"", "scope_malformed"),
        ("payload", "{\"x\":-Infinity}", "json_malformed"),
        ("amount", "{\"minor\":1e999,\"currency\":\"EUR\"}", "json_number_inexact"),
        ("details", "{\"n\":9007199254740993}", "json_number_inexact"),
        ("occurredAt", "\"yesterday\"", "time_invalid"),
    ];
    for (n, (member, value, expected)) in bad.into_iter().enumerate() {
        let agent = w.agent(&format!("led astray {n}"), &["read:mail"]).await;
        let action = if member == "action" { "" } else { "\"action\":\"delete:backups\"," };
        let value = value.replace("LONG", &"é".repeat(150));
        let event = format!(
            "{{\"serial\":\"{}\",\"outcome\":\"denied\",{action}\"{member}\":{value}}}",
            agent.serial
        );
        let seen = raw(&w.admin, EVENTS, event.as_bytes()).await;
        let said = seen.data();
        assert_eq!(
            (seen.status.as_u16(), &said["status"], &said["code"]),
            (201, &json!("scored"), &json!(expected)),
            "{event}"
        );
        assert!(said["field"].is_string() && said["error"].is_string());
        let batch = format!("{{\"events\":[{}]}}", [event.as_str(); 60].join(","));
        let answer = raw(&w.admin, BATCH, batch.as_bytes()).await;
        assert_eq!((answer.status.as_u16(), &answer.data()["refused"]), (207, &json!(0)), "{event}");
        let standing = w.admin.get(&format!("/api/v1/verify/{}", agent.serial)).await.unwrap();
        assert_eq!(standing.text("revocation_reason"), "risk_threshold_exceeded", "{event}");
    }
    let agent = w.agent("one", &["read:mail"]).await;
    let long = json!({ "serial": agent.serial.to_string(), "action": "delete:x", "outcome": "denied", "tool": "é".repeat(40) });
    assert_eq!(w.admin.post(EVENTS, &long).await.unwrap().status, 201);
    assert_eq!(
        listed(&w).await[0]["tool"],
        json!(format!("{}…", "é".repeat(30))),
        "as much as fits, and it shows"
    );
    // The check decides and records, whatever the agent calls its tool.
    let refused = agent.ask("delete:backups", &"t".repeat(500), &"s".repeat(500)).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused)), (403, "scope_violation".to_owned()));
    let newest = &listed(&w).await[0];
    assert_eq!((&newest["scored"], newest["tool"].as_str().unwrap().len()), (&json!(true), 64));
    // And whoever reads it sees what it is.
    assert_eq!(agent.ask("delete:backups", "a\u{202e}b", "s\0").await.unwrap().status, 403);
    let newest = &listed(&w).await[0];
    assert_eq!((&newest["tool"], &newest["session_id"]), (&json!("a\\u{202e}b"), &json!("s\\u{0}")));
}

#[tokio::test]
async fn all_or_nothing_is_asked_for_by_name() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let serial = agent.serial.to_string();
    let good = json!({ "serial": serial, "action": "read:mail" });
    let foreign = json!({ "serial": "41".repeat(16), "action": "read:mail" });
    let far =
        |seq: u64| json!({ "serial": serial, "action": "read:mail", "stream": { "stream": 1, "seq": seq } });
    for (events, status, expected, at) in [
        (json!([good, foreign, good]), 404, "not_found", 1),
        (json!([far(0), far((1 << 53) - 1)]), 422, "stream_jump", 1),
    ] {
        let answer = w.admin.post(BATCH, &json!({ "events": events, "atomic": true })).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer)), (status, expected.to_owned()));
        let results = answer.json()["results"].clone();
        assert_eq!((&results[at]["code"], &results[0]["status"]), (&json!(expected), &json!("not_recorded")));
    }
    assert_eq!(listed(&w).await.len(), 0);
    for atomic in [json!(true), json!(false), json!(null)] {
        let answer = w.admin.post(BATCH, &json!({ "atomic": atomic, "events": [good, good] })).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.data()["results"][1]["status"].clone()),
            (201, json!("scored"))
        );
    }
    assert_eq!(listed(&w).await.len(), 6);
    // Nothing recorded is no success, and says why of each.
    let none = w.admin.post(BATCH, &json!({ "events": [foreign, foreign] })).await.unwrap();
    assert_eq!((none.status.as_u16(), code(&none)), (404, "not_found".to_owned()));
    assert_eq!(none.json()["results"][1]["field"], "certificate_serial");
    // The same event twice: one is a duplicate if its reporter gave it a name.
    let named = json!({ "serial": serial, "action": "read:mail", "client_id": "e" });
    let twice = w.admin.post(BATCH, &json!({ "events": [named, named] })).await.unwrap();
    assert_eq!(
        (twice.status.as_u16(), twice.data()["results"][1]["status"].clone()),
        (201, json!("duplicate"))
    );
    let many = json!({ "events": vec![good.clone(); 1_001] });
    for (body, status, expected) in [
        (json!({ "events": [] }).to_string(), 422, "events_missing"),
        (many.to_string(), 422, "too_many_events"),
        ("{}".to_owned(), 422, "body_invalid"),
        ("[]".to_owned(), 422, "body_invalid"),
        ("{\"events\":{}}".to_owned(), 422, "body_invalid"),
        ("{\"events\":[],\"events\":[]}".to_owned(), 422, "json_member_twice"),
        ("{\"events\":[],\"atomic\":1}".to_owned(), 422, "body_invalid"),
        ("{\"events\":[],\"more\":1}".to_owned(), 422, "body_invalid"),
        ("not JSON".to_owned(), 400, "json_malformed"),
        ("{\"events\":[{}".to_owned(), 400, "json_malformed"),
        (String::new(), 400, "json_malformed"),
    ] {
        let answer = raw(&w.admin, BATCH, body.as_bytes()).await;
        let shown: String = body.chars().take(40).collect();
        assert_eq!((answer.status.as_u16(), code(&answer)), (status, expected.to_owned()), "{shown}");
    }
}

#[tokio::test]
async fn a_reporters_key_silences_nobody_else() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let serial = agent.serial.to_string();
    let (hostile, honest) = (w.key("default", "reporter").await, w.key("default", "reporter").await);
    let event = |extra: Value| {
        let mut event = json!({ "serial": serial, "action": "read:mail" });
        event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        event
    };
    let numbered = |stream: u64, seq: u64| event(json!({ "stream": { "stream": stream, "seq": seq } }));
    let ids = |n: u64| event(json!({ "client_id": format!("e{n}"), "correlation": "c", "session_id": "s" }));
    // The highest number, all the streams, and whatever the other one may call its events.
    let mut events = vec![numbered(1, (1 << 53) - 1)];
    events.extend((2..300).map(|stream| numbered(stream, 5)));
    events.extend((0..100).map(ids));
    let taken = hostile.post(BATCH, &json!({ "events": events })).await.unwrap();
    assert_eq!((taken.status.as_u16(), &taken.data()["refused"]), (207, &json!(43)));
    assert_eq!(taken.data()["results"][298]["code"], "too_many_streams");
    for other in [&honest, &w.admin] {
        let mut events: Vec<_> = (0..10).map(|seq| numbered(1, seq)).collect();
        events.extend((2..12).map(|stream| numbered(stream, 5)));
        events.extend((0..10).map(ids));
        events.push(numbered(999, 0));
        let answer = other.post(BATCH, &json!({ "events": events })).await.unwrap();
        assert_eq!(answer.status, 201);
        let results = answer.data()["results"].clone();
        assert!(results.as_array().unwrap().iter().all(|result| result["status"] == "scored"), "{results}");
        let again = other.post(BATCH, &json!({ "events": events })).await.unwrap().data();
        assert!(again["results"].as_array().unwrap().iter().all(|result| result["status"] == "duplicate"));
    }
    let jump = honest.post(EVENTS, &numbered(1, 1 << 40)).await.unwrap();
    assert_eq!(
        (jump.status.as_u16(), code(&jump), jump.json()["field"].clone()),
        (422, "stream_jump".into(), json!("stream"))
    );
    assert_eq!(honest.post(EVENTS, &numbered(1, 10)).await.unwrap().status, 201);
    // The gateway's own records are nobody's duplicates.
    let asked = json!({ "action": "delete:x", "session_id": "s", "correlation": "c" });
    let before = w.admin.get("/api/v1/events?limit=1").await.unwrap().data()[0]["id"].clone();
    let content = asked.to_string().into_bytes();
    let signed = agent.sign("POST", "/api/v1/gateway/check", &content).await.unwrap();
    let fields: Vec<_> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(code(&check(&w.admin.without_key(), &fields, &asked).await), "scope_violation");
    assert_ne!(w.admin.get("/api/v1/events?limit=1").await.unwrap().data()[0]["id"], before);
}

#[tokio::test]
async fn renewal_is_no_way_out_over_http_either() {
    let w = world().await;
    let agent = w.agent("astray", &["read:mail"]).await;
    let old = agent.serial.to_string();
    let model = w.admin.get(&format!("/api/v1/agents/{}", agent.id)).await.unwrap().text("model_hash");
    // The demo's agents keep their keys, so an operator's renewal gives this one a key of the provider's.
    let body = json!({ "model_hash": model, "key_algorithm": "p256" });
    let renewed = w.admin.post(&format!("/api/v1/agents/{}/renew", agent.id), &body).await.unwrap();
    assert_eq!(renewed.status, 201, "{}", renewed.json());
    let new = renewed.text("serial_number");
    // Both stand until the new one is used.
    assert_eq!(agent.ask("read:mail", "t", "s").await.unwrap().status, 200);
    let used = json!({ "serial": new, "action": "read:mail", "outcome": "ok" });
    assert_eq!(w.admin.post(BATCH, &json!({ "events": [used] })).await.unwrap().status, 201);
    // It asks the gateway with the old one: refused, and in scope no evidence; beyond it, evidence.
    assert_eq!(code(&agent.ask("read:mail", "t", "s").await.unwrap()), "agent_revoked");
    assert_eq!(listed(&w).await[0]["scored"], json!(false));
    assert_eq!(code(&agent.ask("delete:vault", "t", "s").await.unwrap()), "agent_revoked");
    let newest = listed(&w).await[0].clone();
    assert_eq!((&newest["scored"], &newest["out_of_scope"]), (&json!(true), &json!(true)));
    // Whoever saw its request and sends it again adds nothing.
    let content = json!({ "action": "delete:safe" });
    let signed =
        agent.sign("POST", "/api/v1/gateway/check", &content.to_string().into_bytes()).await.unwrap();
    let fields: Vec<_> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for scored in [true, false, false] {
        assert_eq!(code(&check(&w.admin.without_key(), &fields, &content).await), "agent_revoked");
        let newest = listed(&w).await[0].clone();
        assert_eq!((&newest["scored"], &newest["action"]), (&json!(scored), &json!("delete:safe")));
    }
    let risk = w.risk(&agent).await;
    assert_eq!(risk["refused_actions"][0]["action"], "delete:vault");
    assert_eq!(risk["refused_more"], 0);
    let late: Vec<_> = (0..500)
        .map(|n| json!({ "serial": old, "action": "delete:backups", "outcome": "denied", "target": format!("t{n}") }))
        .collect();
    let answer = w.admin.post(BATCH, &json!({ "events": late })).await.unwrap();
    assert_eq!(answer.status, 201);
    let verify = w.admin.get(&format!("/api/v1/verify/{new}")).await.unwrap();
    assert_eq!(verify.text("revocation_reason"), "risk_threshold_exceeded");
}
