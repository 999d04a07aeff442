//! Who does not show who asks is told how.

use axum::http::Method;
use serde_json::{Value, json};

use crate::asking::{certified, get};
use crate::common::{world, world_with};

#[tokio::test]
async fn each_401_says_how_to_show_who_asks() {
    let w = world().await;
    let (id, serial) = certified(&w).await;
    let anybody = w.admin.without_key();
    let wrong = anybody.with_key("kak_live_wrong");
    let gets = [
        "agents",
        "events",
        "notifications",
        "notifications/stream",
        "audit-log",
        "api-keys",
        "tenants/default",
    ]
    .map(str::to_owned);
    for path in gets.into_iter().chain([format!("agents/{id}"), format!("agents/{id}/risk")]) {
        let path = format!("/api/v1/{path}");
        for (client, expected) in [
            (&anybody, "Bearer realm=\"kakunin\""),
            (&wrong, "Bearer realm=\"kakunin\", error=\"invalid_token\""),
        ] {
            let answer = client.get(&path).await.unwrap();
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.headers["www-authenticate"], expected, "{path}");
        }
    }
    let signature = "Signature tag=\"kakunin-request\"";
    let check = |body: Value| {
        let anybody = anybody.clone();
        async move { anybody.post("/api/v1/gateway/check", &body).await.unwrap() }
    };
    let nobody = check(json!({ "action": "read:mail" })).await;
    assert_eq!(
        (nobody.status.as_u16(), &nobody.headers["www-authenticate"]),
        (401, &signature.parse().unwrap())
    );
    let request = json!({ "method": "GET", "target": "/", "authority": "a", "headers": {} });
    let relayed = check(json!({ "action": "read:mail", "request": request })).await;
    assert_eq!(relayed.status, 401);
    assert_eq!(relayed.headers["www-authenticate"], "Bearer realm=\"kakunin\"");
    let wrong = wrong.post("/api/v1/gateway/check", &json!({ "action": "read:mail" })).await.unwrap();
    assert_eq!(wrong.headers["www-authenticate"], "Bearer realm=\"kakunin\", error=\"invalid_token\"");
    let asked = json!({ "join_token": "kak_join_wrong", "csr": "x" });
    let enrol = anybody.post("/api/v1/enroll", &asked).await.unwrap();
    assert_eq!(enrol.status, 401, "{:?}", enrol.json());
    assert_eq!(enrol.headers["www-authenticate"], "JoinToken realm=\"kakunin\"");
    let posts = [format!("agents/{id}/halt"), format!("certificates/{serial}/revoke"), "events".to_owned()];
    for path in posts {
        let answer = anybody.post(&format!("/api/v1/{path}"), &json!({})).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.headers.contains_key("www-authenticate")), (401, true));
    }
    let gateway = world_with(|options| options.api.gateways = vec!["127.0.0.1=nginx".parse().unwrap()]).await;
    let answer = gateway.admin.without_key().get("/api/v1/gateway/auth/x?y=z").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["www-authenticate"]),
        (401, &signature.parse().unwrap())
    );
}

#[tokio::test]
async fn what_a_tenant_keeps_to_itself_asks_for_a_key() {
    let w = world().await;
    w.admin.post("/api/v1/tenants", &json!({ "id": "acme" })).await.unwrap();
    let tenant = "acme".parse().unwrap();
    w.kakunin.rotate_issuing(Some(&tenant)).await.unwrap();
    let patched = w.admin.send(
        Method::PATCH,
        "/api/v1/tenants/acme",
        &[("content-type", "application/json")],
        json!({ "revocations": "private" }).to_string().into_bytes(),
    );
    assert_eq!(patched.await.unwrap().status, 200);
    let all = w.admin.get("/api/v1/ca").await.unwrap().data()["authorities"].clone();
    let own = all.as_array().unwrap().iter().find(|ca| ca["tenant"] == "acme").unwrap();
    let issuer = own["key_id"].as_str().unwrap();
    for path in [
        format!("crl/{issuer}/0.crl"),
        format!("feed/{issuer}"),
        format!("feed/{issuer}/snapshot"),
        format!("feed/{issuer}/stream"),
    ] {
        let answer = get(&w.admin.without_key(), &format!("/api/v1/{path}"), &[("if-none-match", "*")]).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"kakunin\"", "{path}");
    }
}
