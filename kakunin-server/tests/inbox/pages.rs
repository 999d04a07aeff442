//! Pages of the inbox, and what each person has read.

use axum::http::Method;
use kakunin_server::demo::Client;
use serde_json::{Value, json};

use crate::common::{code, world};
use crate::world::{INBOX, certified, hold, ids, page};

async fn mark(client: &Client, path: &str, body: Value) -> (u16, Value) {
    let answer = client.post(&format!("{INBOX}/{path}"), &body).await.unwrap();
    (answer.status.as_u16(), if answer.status == 200 { answer.data() } else { json!(code(&answer)) })
}

#[tokio::test]
async fn each_key_reads_for_itself_and_others_tenants_are_not_there() {
    let w = world().await;
    let serial = certified(&w.admin, "one").await;
    for _ in 0..3 {
        hold(&w.admin, &serial).await;
    }
    let first = page(&w.admin, "limit=2").await;
    let newest = ids(&first);
    assert_eq!(
        (first["unread_count"].as_u64(), first["pagination"]["has_next_page"].as_bool()),
        (Some(3), Some(true))
    );
    let item = &first["data"][0];
    assert_eq!(
        (&item["kind"], &item["severity"], &item["notification_type"], &item["read"]),
        (&json!("agent_held"), &json!("warning"), &json!("system_alert"), &json!(false))
    );
    let rest =
        page(&w.admin, &format!("before={}", first["pagination"]["next_cursor"].as_str().unwrap())).await;
    let oldest = ids(&rest)[0];
    assert_eq!((ids(&rest).len(), &rest["pagination"]["next_cursor"]), (1, &Value::Null));
    let left = |n: u64| (200, json!({ "unread_count": n }));
    let one = format!("{}/read", newest[1]);
    for _ in 0..2 {
        assert_eq!(mark(&w.admin, &one, json!({})).await, left(2), "twice is once");
    }
    let no_body = w.admin.send(Method::POST, &format!("{INBOX}/{one}"), &[], Vec::new()).await.unwrap();
    assert_eq!(no_body.status, 200);
    let unread = page(&w.admin, "unread=true").await;
    assert_eq!(ids(&unread), [newest[0], oldest]);
    assert!(page(&w.admin, "").await["data"][1]["read"].as_bool().unwrap());
    // Another key of the same tenant.
    let colleague = w.key("default", "reader").await;
    assert_eq!(page(&colleague, "").await["unread_count"], 3);
    assert_eq!(mark(&colleague, "read", json!({ "up_to": oldest.to_string() })).await, left(2));
    assert_eq!(page(&w.admin, "").await["unread_count"], 2);
    // Another tenant has another inbox, whatever it names.
    let other = w.key("other", "operator").await;
    assert_eq!(page(&other, "").await["data"], json!([]));
    assert_eq!(mark(&other, &one, json!({})).await, (404, json!("not_found")));
    assert_eq!(mark(&other, "read", json!({ "up_to": newest[0].to_string() })).await, left(0));
    assert_eq!(page(&w.admin, "").await["unread_count"], 2);
    assert_eq!(mark(&w.admin, "read", json!({ "up_to": newest[0].to_string() })).await, left(0));
    // What comes afterwards is new, however far ahead somebody marked.
    assert_eq!(mark(&w.admin, "read", json!({ "up_to": "9007199254740993" })).await, left(0));
    hold(&w.admin, &serial).await;
    assert_eq!(page(&w.admin, "unread=true").await["unread_count"], 1);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_says_what_to_write() {
    let w = world().await;
    hold(&w.admin, &certified(&w.admin, "one").await).await;
    for (query, expected) in [
        ("severity=loud", "query_invalid"),
        ("severity=", "query_invalid"),
        ("kind=everything", "query_invalid"),
        ("unread=perhaps", "query_invalid"),
        ("surprise=1", "query_invalid"),
        ("agent_id=x", "agent_id_malformed"),
        ("before=", "cursor_malformed"),
        ("before=-1", "cursor_malformed"),
        ("before=99999999999999999999", "cursor_malformed"),
        ("before=1e3", "cursor_malformed"),
        ("limit=0", "limit_invalid"),
    ] {
        let answer = w.admin.get(&format!("{INBOX}?{query}")).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (400, expected), "{query}");
    }
    let said = w.admin.get(&format!("{INBOX}?severity=loud")).await.unwrap().json();
    assert!(said["error"].as_str().unwrap().contains("`critical`"), "{said}");
    for id in ["x", "-1", "9007199254740993", "99999999999999999999", "%20", "0", "1.5"] {
        assert_eq!(mark(&w.admin, &format!("{id}/read"), json!({})).await, (404, json!("not_found")), "{id}");
    }
    for up_to in ["", "-1", "99999999999999999999", "0x1", " 1"] {
        let answer = mark(&w.admin, "read", json!({ "up_to": up_to })).await;
        assert_eq!(answer, (422, json!("up_to_malformed")), "{up_to:?}");
    }
    for body in [json!({}), json!({ "up_to": 1 }), json!({ "up_to": "1", "of": "me" }), json!([])] {
        assert_eq!(mark(&w.admin, "read", body.clone()).await, (422, json!("body_invalid")), "{body}");
    }
    let nobody =
        w.admin.without_key().post(&format!("{INBOX}/read"), &json!({ "up_to": "1" })).await.unwrap();
    assert_eq!(nobody.status, 401);
    for before in ["9007199254740993", "9223372036854775808"] {
        assert_eq!(ids(&page(&w.admin, &format!("before={before}")).await).len(), 1, "{before}");
    }
    assert_eq!(ids(&page(&w.admin, "before=0").await), [0; 0]);
}

#[tokio::test]
async fn a_warning_says_what_the_agent_did_and_what_can_be_said_of_it() {
    let w = world().await;
    let serial = certified(&w.admin, "astray").await;
    for n in 0..200 {
        let event = json!({ "certificate_serial": serial, "action": "delete:backups", "outcome": "denied",
            "out_of_scope": true, "target": format!("backup-{n}") });
        let seen = w.admin.post("/api/v1/events", &event).await.unwrap();
        if seen.status == 422 {
            break;
        }
        assert!(seen.status.is_success(), "{}", seen.json());
    }
    let warned = page(&w.admin, "kind=pre_revocation_warning").await;
    let revoked = page(&w.admin, "kind=agent_revoked&severity=critical").await;
    assert_eq!((ids(&warned).len(), ids(&revoked).len()), (1, 1));
    assert!(ids(&warned)[0] < ids(&revoked)[0]);
    for (item, vendor) in
        [(&warned["data"][0], "pre_revocation_warning"), (&revoked["data"][0], "risk_threshold_crossed")]
    {
        assert_eq!(item["notification_type"], vendor);
        let (agent, evidence) = (item["agent_id"].as_str().unwrap(), &item["evidence"]);
        let factors = evidence["factors"].as_array().unwrap();
        assert_eq!(factors[0]["family"], "scope_boundary", "{item}");
        assert!(factors.iter().all(|factor| factor["contribution"].as_f64().unwrap() > 0.0));
        assert!(evidence["risk_score"].as_f64().unwrap() >= 0.75 && evidence["threshold"] == 0.85);
        let event = &evidence["events"][0];
        let linked = w.admin.get(event["url"].as_str().unwrap()).await.unwrap().json();
        assert_eq!(linked["data"].as_array().unwrap().len(), 1, "{linked}");
        assert!(linked["data"][0].to_string().contains("delete:backups"), "{linked}");
        assert_eq!(linked["data"][0]["id"], event["index"].to_string(), "{linked}");
        let verdicts: Vec<_> = item["actions"].as_array().unwrap().iter().map(|a| &a["verdict"]).collect();
        assert_eq!(verdicts, ["dismiss", "confirmSafe", "confirmCompromised"]);
        assert_eq!(item["actions"][0]["url"], format!("/api/v1/agents/{agent}/verdict"));
    }
}
