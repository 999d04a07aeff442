//! Agents that a test needs.

use kakunin_server::demo::Client;
use serde_json::json;

pub(crate) const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) async fn registered(client: &Client, name: &str) -> String {
    let body =
        json!({ "name": name, "model_hash": MODEL, "metadata": { "permitted_actions": ["read:accounts"] } });
    let answer = client.post("/api/v1/agents", &body).await.unwrap();
    assert_eq!(answer.status, 201);
    answer.text("id")
}

pub(crate) async fn certified(client: &Client, name: &str) -> (String, String) {
    let id = registered(client, name).await;
    let path = format!("/api/v1/agents/{id}/certify");
    let answer = client.post(&path, &json!({ "key_algorithm": "p256" })).await.unwrap();
    assert_eq!(answer.status, 201);
    (id, answer.text("serial_number"))
}
