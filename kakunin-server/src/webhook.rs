//! `kakunin webhook`: endpoints, and what became of deliveries to them, on a terminal or as JSON.

use std::io::Write;

use axum::http::Method;
use kakunin_core::id::WebhookId;
use kakunin_core::text::visible_prose;
use kakunin_core::webhook::{Scheme, WebhookEvent};
use serde_json::{Value, json};

use crate::client::{Client, ClientError};

const PATH: &str = "/api/v1/webhooks";

/// What is asked for.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The endpoints.
    List,
    /// A new one.
    Create {
        /// Where deliveries go.
        url: String,
        /// What it is told.
        events: Vec<WebhookEvent>,
        /// How deliveries are signed.
        scheme: Scheme,
        /// What it is for.
        label: Option<String>,
    },
    /// A ping, and what came of it.
    Ping(WebhookId),
    /// What became of deliveries, newest first.
    Deliveries {
        /// To which endpoint.
        id: WebhookId,
        /// How many.
        limit: u16,
    },
    /// A message once more.
    Redeliver {
        /// To which endpoint.
        id: WebhookId,
        /// Which.
        message: String,
    },
    /// Another secret.
    Rotate {
        /// Of which endpoint.
        id: WebhookId,
        /// For how many seconds the one before signs as well.
        overlap: u64,
    },
    /// To send deliveries, or none.
    Switch {
        /// Of which endpoint.
        id: WebhookId,
        /// Whether they are sent.
        active: bool,
    },
    /// That it be taken away.
    Delete(WebhookId),
}

/// Asks for it, and prints the answer: as the API has it if `json`.
///
/// # Errors
/// [`ClientError`]; a ping that is not delivered is none.
pub async fn run(client: &Client, asked: &Asked, json: bool) -> Result<(), ClientError> {
    let (method, path, body) = request(asked);
    let reply = client.send(method, &path, &[], body.as_ref()).await?;
    let data = reply.data();
    if json {
        return line(&data.to_string());
    }
    match (asked, data) {
        (Asked::Deliveries { .. }, Value::Array(all)) => all.iter().try_for_each(|one| line(&delivery(one))),
        (_, Value::Array(all)) => all.iter().try_for_each(|one| line(&endpoint(one))),
        (Asked::Create { .. } | Asked::Rotate { .. }, one) => {
            line(&endpoint(one))?;
            line(&format!("secret {}", text(one, "secret")))
        }
        (Asked::Switch { .. }, one) => line(&endpoint(one)),
        (Asked::Ping(_), one) => line(&ping(one)),
        (_, one) => line(&format!("{} {}", text(one, "id"), text(one, "status"))),
    }
}

fn request(asked: &Asked) -> (Method, String, Option<Value>) {
    match asked {
        Asked::List => (Method::GET, PATH.to_owned(), None),
        Asked::Create { url, events, scheme, label } => {
            let body = json!({ "url": url, "events": events, "scheme": scheme, "label": label });
            (Method::POST, PATH.to_owned(), Some(body))
        }
        Asked::Ping(id) => (Method::POST, format!("{PATH}/{id}/ping"), None),
        Asked::Deliveries { id, limit } => {
            (Method::GET, format!("{PATH}/{id}/deliveries?limit={limit}"), None)
        }
        Asked::Redeliver { id, message } => {
            // Whatever else stands there could be another path.
            let message: String =
                message.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            (Method::POST, format!("{PATH}/{id}/deliveries/{message}/redeliver"), None)
        }
        Asked::Rotate { id, overlap } => {
            (Method::POST, format!("{PATH}/{id}/rotate"), Some(json!({ "overlap": overlap })))
        }
        Asked::Switch { id, active } => {
            (Method::PATCH, format!("{PATH}/{id}"), Some(json!({ "active": active })))
        }
        Asked::Delete(id) => (Method::DELETE, format!("{PATH}/{id}"), None),
    }
}

fn endpoint(one: &Value) -> String {
    let events: Vec<_> =
        member(one, "events").as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let state = match member(one, "disabled").as_str() {
        Some(why) => format!("disabled: {why}"),
        None => "active".to_owned(),
    };
    let label = member(one, "label").as_str().map(|label| format!(" ({label})")).unwrap_or_default();
    format!("{} {} {state} {}{label}", text(one, "id"), text(one, "url"), events.join(","))
}

fn delivery(one: &Value) -> String {
    let last = member(one, "attempts").as_array().and_then(|all| all.last()).cloned().unwrap_or_default();
    let next =
        member(one, "next_attempt_at").as_str().map(|at| format!(", again at {at}")).unwrap_or_default();
    let attempts = member(one, "attempt_count");
    format!(
        "{} {} {} {}: {} in {} ms, attempt {attempts}{next}",
        text(&last, "at"),
        text(one, "id"),
        text(one, "event"),
        text(one, "status"),
        outcome(&last),
        member(&last, "duration_ms")
    )
}

fn ping(one: &Value) -> String {
    let taken = if *member(one, "delivered") == json!(true) { "delivered" } else { "not delivered" };
    format!("{} {taken}: {} in {} ms", text(one, "id"), outcome(one), member(one, "duration_ms"))
}

fn outcome(attempt: &Value) -> String {
    match member(attempt, "status").as_u64() {
        Some(status) => status.to_string(),
        None => member(attempt, "error").as_str().unwrap_or("no answer").to_owned(),
    }
}

fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    member(value, name).as_str().unwrap_or_default()
}

fn line(text: &str) -> Result<(), ClientError> {
    // Labels are people's, and a terminal does what it is told.
    Ok(writeln!(std::io::stdout(), "{}", visible_prose(text))?)
}
