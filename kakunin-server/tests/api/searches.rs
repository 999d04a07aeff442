//! What is looked for in the log, and found there.

use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

use crate::agents::certified;
use crate::common::{World, code, world};

async fn ids(client: &Client, path: &str) -> Vec<u64> {
    let answer = client.get(&format!("/api/v1/{path}")).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.json());
    numbers(&answer)
}

fn numbers(answer: &Answer) -> Vec<u64> {
    let rows = answer.json()["data"].as_array().unwrap().clone();
    rows.iter().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect()
}

async fn report(w: &World, event: Value) -> u64 {
    let answer = w.admin.post("/api/v1/events", &event).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.json());
    answer.text("event_id").parse().unwrap()
}

#[tokio::test]
async fn events_are_found_by_whose_they_are_what_they_were_how_they_ended_and_when() {
    let w = world().await;
    let (one, first) = certified(&w.admin, "one").await;
    let (other, second) = certified(&w.admin, "other").await;
    let tick = || tokio::time::sleep(std::time::Duration::from_millis(3));
    let a = report(&w, json!({ "serial": first, "action_type": "transaction_initiated" })).await;
    tick().await;
    let b = report(&w, json!({ "serial": second, "action_type": "data_access", "outcome": "error" })).await;
    let c = report(&w, json!({ "serial": first, "action_type": "api_call", "outcome": "denied" })).await;
    tick().await;
    let d = report(&w, json!({ "serial": second, "action_type": "odd_word" })).await;
    let at = |id: u64| {
        let client = w.admin.clone();
        async move {
            let row = client.get(&format!("/api/v1/events?after={id}&limit=1")).await.unwrap().data();
            row[0]["created_at"].as_str().unwrap().to_owned()
        }
    };
    let millis = |text: &str| kakunin_core::time::UnixTime::from_rfc3339(text).unwrap().millis();
    let (from_b, from_d) = (at(b).await, at(d).await);
    let late = millis(&from_d) + 1;
    for (query, expected) in [
        (String::new(), vec![d, c, b, a]),
        ("after=0".to_owned(), vec![a, b, c, d]),
        (format!("agent_id={one}"), vec![c, a]),
        (format!("agent_id={other}&after=0"), vec![b, d]),
        (format!("serial={first}"), vec![c, a]),
        (format!("serial={}", second.to_lowercase()), vec![d, b]),
        (format!("serial={first}&agent_id={other}"), vec![]),
        ("kind=transaction".to_owned(), vec![a]),
        ("action_type=transaction".to_owned(), vec![a]),
        ("action_type=transaction_initiated".to_owned(), vec![a]),
        ("action_type=odd_word".to_owned(), vec![d]),
        ("kind=other&action_type=odd_word".to_owned(), vec![d]),
        ("kind=api_call&action_type=odd_word".to_owned(), vec![]),
        ("outcome=error".to_owned(), vec![b]),
        ("outcome=ok&after=0".to_owned(), vec![a, d]),
        ("kind=api_call&outcome=denied&band=low".to_owned(), vec![c]),
        ("band=high".to_owned(), vec![]),
        ("since=2020-01-01T00:00:00Z&band=low".to_owned(), vec![d, c, b, a]),
        (format!("until={from_b}"), vec![a]),
        (format!("since={from_b}&until={from_d}"), vec![c, b]),
        (format!("since={}&until={late}&after={}", millis(&from_b), c), vec![c, d]),
        (format!("since={from_b}&until={from_b}"), vec![]),
        ("since=2099-12-31T23:59:59Z".to_owned(), vec![]),
        ("until=2000-01-01T00:00:00Z".to_owned(), vec![]),
        ("after=9007199254740993".to_owned(), vec![]),
        (format!("before={b}"), vec![a]),
    ] {
        assert_eq!(ids(&w.admin, &format!("events?{query}")).await, expected, "{query}");
    }
}

#[tokio::test]
async fn records_are_found_alike_and_a_reader_may_wait_at_the_end() {
    let w = world().await;
    let (one, serial) = certified(&w.admin, "one").await;
    certified(&w.admin, "other").await;
    let all = ids(&w.admin, "audit-log?after=0&limit=100").await;
    assert!(all.is_sorted() && all[0] == 0, "{all:?}");
    let issued = ids(&w.admin, "audit-log?kind=certificate.issued").await;
    assert_eq!(issued.len(), 2);
    assert_eq!(ids(&w.admin, "audit-log?event_type=certificate.issued").await, issued);
    assert_eq!(
        ids(&w.admin, &format!("audit-log?kind=certificate.issued&serial={serial}")).await,
        issued[1..]
    );
    let of_one = ids(&w.admin, &format!("audit-log?agent_id={one}&limit=100")).await;
    assert_eq!(ids(&w.admin, &format!("audit-log?affected_id={one}&limit=100")).await, of_one);
    assert!(of_one.len() > 2 && of_one.len() < all.len());
    assert_eq!(ids(&w.admin, "audit-log?outcome=denied").await, [0; 0]);
    assert_eq!(ids(&w.admin, "audit-log?event_type=no.such").await, [0; 0]);
    // Page by page from the beginning, and again where it ended.
    let (mut after, mut seen, mut last) = ("0".to_owned(), Vec::new(), false);
    while !last {
        let page = w.admin.get(&format!("/api/v1/audit-log?after={after}&limit=3")).await.unwrap();
        seen.extend(numbers(&page));
        let pagination = page.json()["pagination"].clone();
        last = pagination["has_next_page"] == false;
        assert_eq!(pagination["next_cursor"].is_null(), last);
        assert!(pagination["before"].is_null());
        after = pagination["after"].as_str().unwrap().to_owned();
    }
    assert_eq!(seen, all);
    let tail = format!("/api/v1/audit-log?after={after}");
    assert_eq!(numbers(&w.admin.get(&tail).await.unwrap()), [0; 0]);
    let event = report(&w, json!({ "serial": serial, "action": "read:accounts" })).await;
    let more = w.admin.get(&tail).await.unwrap();
    assert_eq!(numbers(&more), [event]);
    let newest = w.admin.get("/api/v1/audit-log?limit=1").await.unwrap().json();
    assert_eq!(newest["pagination"]["before"], event.to_string());
    assert_eq!(newest["pagination"]["next_cursor"], newest["pagination"]["before"]);
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_refused_by_name() {
    let w = world().await;
    for (query, expected, said) in [
        ("events?kind=payment", "query_invalid", "transaction"),
        ("events?outcome=fine", "query_invalid", "denied"),
        ("events?serial=xyz", "serial_malformed", "32 hex digits"),
        ("events?since=9007199254740993", "since_malformed", "milliseconds"),
        ("events?since=1795420800", "since_malformed", "milliseconds"),
        ("events?until=tomorrow", "until_malformed", "RFC 3339"),
        ("events?since=2026-11-24T00:00:00Z&until=2026-11-23T00:00:00Z", "times_reversed", "exchange"),
        ("events?before=5&after=5", "cursors_conflict", "one of them"),
        ("events?after=-1", "cursor_malformed", "`after` is `-1`"),
        ("audit-log?kind=certificate.lost", "kind_unknown", "certificate.revoked"),
        ("audit-log?kind=", "kind_unknown", "agent.event"),
        ("audit-log?outcome=1", "query_invalid", "error"),
        ("audit-log?agent_id=x", "agent_id_malformed", "UUID"),
        ("audit-log?until=0", "until_malformed", "RFC 3339"),
    ] {
        let answer = w.admin.get(&format!("/api/v1/{query}")).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (400, expected), "{query}");
        let sentence = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(sentence.contains(said), "{query}: {sentence}");
    }
}

#[tokio::test]
async fn one_call_says_that_there_is_none_among_many_and_no_tenant_finds_anothers() {
    let w = world().await;
    let (one, serial) = certified(&w.admin, "one").await;
    let other = w.key("other", "reader").await;
    for n in 0..10 {
        let events: Vec<_> = (0..1_000)
            .map(|m| {
                json!({ "serial": serial, "action_type": "data_access", "stream": { "stream": 1, "seq": n * 1_000 + m } })
            })
            .collect();
        let batch = w.admin.post("/api/v1/events/batch", &json!({ "events": events })).await.unwrap();
        assert_eq!(batch.status, 201);
    }
    // Before and after the index has come so far.
    for level in [false, true] {
        while level && w.kakunin.followers().iter().any(|f| f.name == "index" && (f.left > 0 || f.behind > 0))
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        for query in
            [format!("events?agent_id={one}&outcome=error"), "audit-log?kind=agent.retired".to_owned()]
        {
            let mut path = format!("/api/v1/{query}&limit=100");
            let mut calls = 0;
            loop {
                let page = w.admin.get(&path).await.unwrap().json();
                assert_eq!(page["data"], json!([]));
                calls += 1;
                let Some(next) = page["pagination"]["before"].as_str() else { break };
                path = format!("/api/v1/{query}&limit=100&before={next}");
            }
            assert!(calls == 1 || !level && calls < 4, "{calls} calls");
        }
        assert_eq!(ids(&other, &format!("events?agent_id={one}")).await, [0; 0]);
        assert_eq!(ids(&other, &format!("audit-log?serial={serial}")).await, [0; 0]);
        assert_eq!(ids(&w.admin, &format!("events?agent_id={one}&limit=2&after=0")).await.len(), 2);
    }
}
