//! Numbers and names in JSON that not every reader takes for the same: refused wherever JSON comes in, or kept to the digit.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use axum::http::Method;
use common::{World, code, world};
use kakunin_core::event::{Event, Outcome};
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Each with the code of its refusal.
const AMBIGUOUS: [(&str, &str); 12] = [
    ("9007199254740992", "json_number_inexact"),
    ("9007199254740993", "json_number_inexact"),
    ("-9007199254740993", "json_number_inexact"),
    ("1732900000000000000", "json_number_inexact"),
    ("18446744073709551616", "json_number_inexact"),
    ("9007199254740993.0", "json_number_inexact"),
    ("0.1234567890123456789", "json_number_inexact"),
    ("1.0000000000000001", "json_number_inexact"),
    ("1e400", "json_number_inexact"),
    ("-0", "json_number_inexact"),
    (r#"{"b":1,"\u0062":2}"#, "json_member_twice"),
    (r#""\ud800""#, "json_surrogate"),
];

async fn send(client: &Client, method: Method, path: &str, body: &str) -> Answer {
    let fields = [("content-type", "application/json")];
    client.send(method, path, &fields, body.as_bytes().to_vec()).await.unwrap()
}

async fn post(w: &World, path: &str, body: &str) -> Answer {
    send(&w.admin, Method::POST, path, body).await
}

/// An agent whose key is the server's, and its certificate's serial number.
async fn certified(w: &World) -> (String, String) {
    let body = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:a"] });
    let id = w.admin.post("/api/v1/agents", &body).await.unwrap().text("id");
    let body = json!({ "key_algorithm": "p256" });
    let issued = w.admin.post(&format!("/api/v1/agents/{id}/certify"), &body).await.unwrap();
    (id, issued.text("serial_number"))
}

#[tokio::test]
async fn whatever_takes_json_refuses_what_is_not_read_by_all_alike() {
    let w = world().await;
    let (id, serial) = certified(&w).await;
    let bodies = [
        (
            Method::POST,
            format!("/api/v1/agents/{id}/sign"),
            r#"{"payload":{"x":[{"n":?}]}}"#.to_owned(),
            "`payload.x[0].n",
        ),
        (
            Method::POST,
            "/api/v1/verify/message".to_owned(),
            format!(r#"{{"payload":{{"n":?}},"signature":"AA==","certificate_serial":"{serial}"}}"#),
            "`payload.n",
        ),
        (
            Method::POST,
            "/api/v1/events".to_owned(),
            format!(r#"{{"agent_id":"{id}","action":"read:a","details":{{"at":?}}}}"#),
            "`details.at",
        ),
        (
            Method::POST,
            "/api/v1/agents".to_owned(),
            format!(r#"{{"name":"two","model_hash":"{MODEL}","metadata":{{"at":?}}}}"#),
            "`metadata.at",
        ),
        (
            Method::PATCH,
            format!("/api/v1/agents/{id}"),
            r#"{"metadata":{"at":?}}"#.to_owned(),
            "`metadata.at",
        ),
        (
            Method::POST,
            "/api/v1/agents".to_owned(),
            format!(r#"{{"name":"two","model_hash":"{MODEL}","financial_scope":{{"daily_limit_usd":?}}}}"#),
            "`financial_scope.daily_limit_usd",
        ),
        (
            Method::PATCH,
            format!("/api/v1/agents/{id}"),
            r#"{"financialScope":{"daily_limit_usd":?}}"#.to_owned(),
            "`financialScope",
        ),
        (
            Method::POST,
            format!("/api/v1/agents/{id}/join-tokens"),
            r#"{"ttl_seconds":?}"#.to_owned(),
            "`ttl_seconds",
        ),
        (Method::POST, "/api/v1/tenants".to_owned(), r#"{"id":?}"#.to_owned(), "`id"),
        (
            Method::POST,
            "/api/v1/gateway/check".to_owned(),
            r#"{"action":"read:a","request":{"headers":{"a":?}}}"#.to_owned(),
            "`request",
        ),
    ];
    for (method, path, body, member) in &bodies {
        for (value, expected) in AMBIGUOUS {
            let answer = send(&w.admin, method.clone(), path, &body.replace('?', value)).await;
            assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (422, expected), "{path} {value}");
            let said = answer.json();
            let sentence = said["message"].as_str().or(said["error"].as_str()).unwrap();
            assert!(sentence.starts_with(member), "{path} {value}: {sentence}");
            if expected == "json_number_inexact" {
                assert!(sentence.ends_with("a text where one is taken"), "{sentence}");
            }
        }
        // What is no JSON is another refusal.
        assert_eq!(code(&send(&w.admin, method.clone(), path, "{").await), "json_malformed");
    }
    let numbers = [
        r#""amount":{"minor":?,"currency":"EUR"}"#,
        r#""stream":{"stream":?,"seq":0}"#,
        r#""stream":{"stream":1,"seq":?}"#,
        r#""details":{"amount_usd":?}"#,
    ];
    for member in numbers {
        let body = format!(r#"{{"agent_id":"{id}","action":"read:a",{member}}}"#);
        for n in ["9007199254740993", "18446744073709551615", "9.007199254740993e15"] {
            let answer = post(&w, "/api/v1/events", &body.replace('?', n)).await;
            assert_eq!(
                (answer.status.as_u16(), code(&answer).as_str()),
                (422, "json_number_inexact"),
                "{member} {n}"
            );
        }
    }
    let events = w.admin.get("/api/v1/events").await.unwrap().data();
    assert_eq!(events.as_array().unwrap().len(), 0, "nothing of all that was recorded");
}

/// For every message that is signed there is no other that the signature is good for.
#[tokio::test]
async fn one_signature_is_good_for_one_message() {
    let w = world().await;
    let (id, serial) = certified(&w).await;
    let sign = format!("/api/v1/agents/{id}/sign");
    let near = [
        ("9007199254740991", "9007199254740992"),
        ("9007199254740991", "9007199254740991.4"),
        ("0.1", "0.10000000000000001"),
        ("1", "1.0000000000000001"),
        ("0", "-0"),
        ("0", "1e-400"),
        ("1e21", "1000000000000000000001"),
        ("5e-324", "4e-324"),
    ];
    for (number, other) in near {
        let signed = post(&w, &sign, &format!(r#"{{"payload":{{"n":{number}}}}}"#)).await;
        assert_eq!(signed.status, 200, "{number}");
        let signature = signed.text("signature");
        let verify = async |number: &str| {
            let body = format!(
                r#"{{"payload":{{"n":{number}}},"signature":"{signature}","certificate_serial":"{serial}"}}"#
            );
            post(&w, "/api/v1/verify/message", &body).await
        };
        assert_eq!(verify(number).await.data()["signature_valid"], true, "{number}");
        assert_eq!(verify(other).await.status, 422, "{other}");
        assert_eq!(
            post(&w, &sign, &format!(r#"{{"payload":{{"n":{other}}}}}"#)).await.status,
            422,
            "{other}"
        );
    }
}

#[tokio::test]
async fn what_is_given_back_is_what_was_given_to_the_digit() {
    let w = world().await;
    let kept = r#"{"at":"1732900000000000000","big":9007199254740991,"deep":[0.1,1e+21,-5e-324,0.30000000000000004]}"#;
    let body = format!(r#"{{"name":"one","model_hash":"{MODEL}","scope":["read:a"],"metadata":{kept}}}"#);
    let made = post(&w, "/api/v1/agents", &body).await;
    assert_eq!(made.status, 201, "{:?}", made.json());
    let text = |answer: &Answer| String::from_utf8(answer.body.to_vec()).unwrap();
    let again = w.admin.get(&format!("/api/v1/agents/{}", made.text("id"))).await.unwrap();
    for answer in [&made, &again] {
        assert!(text(answer).contains(kept.trim_matches(['{', '}'])), "{}", text(answer));
    }
    // An embedder's details are a text, which is kept as it is; what reads it is its own affair.
    let (_, serial) = certified(&w).await;
    let mut event = Event::new(serial.parse().unwrap(), "read:a".parse().unwrap(), Outcome::Ok);
    let details =
        r#"{"at":1732900000000000000,"more":123456789012345678901234567890,"x":0.1234567890123456789}"#;
    event.details = Some(details.parse().unwrap());
    w.kakunin.tenant(&"default".parse().unwrap()).observe(event).await.unwrap();
    let listed = w.admin.get("/api/v1/events?limit=1").await.unwrap();
    assert!(text(&listed).contains(details), "{}", text(&listed));
    let seen: Value = listed.json();
    assert!(seen["data"][0]["details"].is_object());
}
