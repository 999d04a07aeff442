//! The API: endpoints, deliveries, and who may.

use axum::http::Method;
use kakunin_core::webhook::Allow;
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

use crate::common::{World, code, world, world_with};
use crate::receiver::{Receiver, status};

const PATH: &str = "/api/v1/webhooks";

async fn here() -> World {
    world_with(|options| {
        options.webhooks.allow = vec!["127.0.0.1".parse::<Allow>().unwrap()];
        options.webhooks.insecure_http = true;
    })
    .await
}

async fn send(client: &Client, method: Method, path: &str, body: &Value) -> Answer {
    let json = [("content-type", "application/json")];
    client.send(method, path, &json, body.to_string().into_bytes()).await.unwrap()
}

#[tokio::test]
async fn an_endpoint_is_made_told_looked_after_and_taken_away() {
    let (w, receiver) = (here().await, Receiver::taking().await);
    let asked = json!({ "url": receiver.url("/a"), "events": ["certificate.revoked", "certificate.issued"], "label": "ours" });
    let made = w.admin.post(PATH, &asked).await.unwrap();
    assert_eq!(made.status, 201, "{}", made.json());
    let made = made.data();
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.ends_with(made["secret_hint"].as_str().unwrap()));
    assert_eq!(
        (&made["active"], &made["scheme"], &made["label"]),
        (&json!(true), &json!("standard"), &json!("ours"))
    );
    assert_eq!(made["events"], json!(["certificate.issued", "certificate.revoked"]));
    let one = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let shown = w.admin.get(&one).await.unwrap().data();
    assert!(shown["secret"].is_null() && shown["secret_hint"] == made["secret_hint"]);
    assert_eq!(w.admin.get(PATH).await.unwrap().data().as_array().unwrap().len(), 1);

    let pinged = send(&w.admin, Method::POST, &format!("{one}/ping"), &json!({})).await;
    assert_eq!(
        (pinged.status.as_u16(), &pinged.data()["delivered"], &pinged.data()["status"]),
        (200, &json!(true), &json!(204))
    );

    let agent = w.agent("desk-7", &["read:mail"]).await;
    let got = receiver.until("the certificate is told", |got| got.len() == 2).await;
    assert_eq!((got[0].kind().as_str(), got[1].kind().as_str()), ("ping", "certificate.issued"));
    let told = got[1].json();
    assert_eq!(told["data"]["agent_id"], json!(agent.id));
    // The link leads to the record, for who has a key.
    let proof = told["data"]["proof"].as_str().unwrap().strip_prefix(&w.url).unwrap().to_owned();
    let page = w.admin.get(&proof).await.unwrap().json();
    assert_eq!(page["data"][0]["event_type"], "certificate.issued");
    assert_eq!(page["data"][0]["id"], told["data"]["log_index"].to_string());

    let deliveries = format!("{one}/deliveries");
    let mut listed = Value::Null;
    for _ in 0..500 {
        listed = w.admin.get(&deliveries).await.unwrap().json();
        if !listed["data"].as_array().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let delivery = &listed["data"][0];
    assert_eq!((&delivery["id"], &delivery["status"]), (&json!(got[1].id()), &json!("delivered")));
    assert_eq!((&delivery["attempts"][0]["status"], &delivery["attempt_count"]), (&json!(204), &json!(1)));
    let again = format!("{deliveries}/{}/redeliver", got[1].id());
    assert_eq!(send(&w.admin, Method::POST, &again, &json!({})).await.status, 202);
    let got = receiver.until("it comes again", |got| got.len() == 3).await;
    assert_eq!((got[1].id(), &got[1].body), (got[2].id(), &got[2].body));

    let rotated =
        send(&w.admin, Method::POST, &format!("{one}/rotate"), &json!({ "overlap": 60 })).await.data();
    assert!(rotated["secret"] != made["secret"] && rotated["former_secret_until"].is_string());
    let off = send(&w.admin, Method::PATCH, &one, &json!({ "active": false })).await.data();
    assert_eq!((&off["active"], &off["disabled"]), (&json!(false), &json!("ordered")));
    assert_eq!(code(&send(&w.admin, Method::POST, &again, &json!({})).await), "exists");
    let metrics = String::from_utf8(w.admin.get("/metrics").await.unwrap().body.to_vec()).unwrap();
    assert!(metrics.contains("kakunin_webhook_deliveries_total 2"), "{metrics}");
    let gone = send(&w.admin, Method::DELETE, &one, &json!({})).await;
    assert_eq!(gone.data()["status"], "deleted");
    assert_eq!(w.admin.get(&one).await.unwrap().status, 404);
}

#[tokio::test]
async fn only_who_is_of_the_tenant_reaches_its_endpoints_and_only_an_operator_changes_them() {
    let w = here().await;
    let url = json!({ "url": "https://hooks.example/", "events": ["risk.alert"] });
    let made = w.admin.post(PATH, &url).await.unwrap().text("id");
    let one = format!("{PATH}/{made}");
    let all = [
        (Method::GET, PATH.to_owned()),
        (Method::POST, PATH.to_owned()),
        (Method::GET, one.clone()),
        (Method::PATCH, one.clone()),
        (Method::POST, format!("{one}/ping")),
        (Method::POST, format!("{one}/rotate")),
        (Method::GET, format!("{one}/deliveries")),
        (Method::POST, format!("{one}/deliveries/msg_1/redeliver")),
        (Method::DELETE, one.clone()),
    ];
    let (foreign, reporter) = (w.key("zeta", "operator").await, w.key("default", "reporter").await);
    for (method, path) in all {
        let body = if method == Method::POST && path == PATH { url.clone() } else { json!({}) };
        let reads = if method == Method::GET { 200 } else { 403 };
        assert_eq!(send(&reporter, method.clone(), &path, &body).await.status, reads, "{method} {path}");
        let nobody = send(&Client::new(&w.url), method.clone(), &path, &body).await;
        assert_eq!(nobody.status, 401, "{method} {path}");
        if path != PATH {
            assert_eq!(send(&foreign, method.clone(), &path, &body).await.status, 404, "{method} {path}");
        }
    }
    assert!(foreign.get(PATH).await.unwrap().data().as_array().unwrap().is_empty());
    assert_eq!(w.admin.get(&one).await.unwrap().status, 200);
}

#[tokio::test]
async fn what_cannot_be_an_endpoint_is_refused_by_name() {
    let w = world().await;
    for (url, events, refused) in [
        ("ftp://a.example", json!(["risk.alert"]), "webhook_url_malformed"),
        ("https://me:secret@a.example", json!(["risk.alert"]), "webhook_url_malformed"),
        ("https://0x7f.1/", json!(["risk.alert"]), "webhook_url_malformed"),
        ("http://a.example", json!(["risk.alert"]), "webhook_url_insecure"),
        ("https://127.0.0.1/", json!(["risk.alert"]), "webhook_address_barred"),
        ("https://[::ffff:169.254.169.254]/", json!(["risk.alert"]), "webhook_address_barred"),
        ("https://a.example", json!([]), "webhook_events_invalid"),
        ("https://a.example", json!(["ping"]), "webhook_events_invalid"),
    ] {
        let answer = w.admin.post(PATH, &json!({ "url": url, "events": events })).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer).as_str()), (422, refused), "{url}");
        assert!(!answer.json()["error"].as_str().unwrap().contains("secret"), "{url}");
    }
    let answer = w
        .admin
        .post(PATH, &json!({ "url": "https://a.example", "events": ["agent.exploded"] }))
        .await
        .unwrap();
    assert!(
        answer.status.is_client_error() && answer.json()["error"].as_str().unwrap().contains("risk.alert")
    );
    assert!(w.admin.get(PATH).await.unwrap().data().as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_sent_to() {
    let (w, receiver) = (
        world_with(|options| options.webhooks.insecure_http = true).await,
        Receiver::answering(|_| Some(status("200 OK"))).await,
    );
    let url = format!("http://localhost:{}/", receiver.at.port());
    let made = w.admin.post(PATH, &json!({ "url": url, "events": ["certificate.issued"] })).await.unwrap();
    assert_eq!(made.status, 201);
    let ping = format!("{PATH}/{}/ping", made.text("id"));
    let pinged = send(&w.admin, Method::POST, &ping, &json!({})).await.data();
    assert_eq!(
        (&pinged["delivered"], &pinged["code"]),
        (&json!(false), &json!("webhook_address_barred")),
        "{pinged}"
    );
    // Nor is a tenant told which address it was.
    assert!(
        !pinged["error"].as_str().unwrap().contains("127.0.0.1")
            && !pinged["error"].as_str().unwrap().contains("::1")
    );
    assert!(receiver.got().is_empty());
}
