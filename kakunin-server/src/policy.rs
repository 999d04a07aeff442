//! `kakunin policy` and `kakunin verdict`: what a tenant decides over scores, and what its people make of them, by the API of
//! a running server.

use std::path::PathBuf;

use axum::http::{HeaderName, Method, StatusCode, header};
use kakunin_core::id::{AgentId, ApprovalId, TenantId};
use kakunin_core::policy::{Mode, Verdict};
use serde_json::{Map, Number, Value, json};

use crate::client::{Client, ClientError, Reply};

/// What is asked of a tenant.
#[derive(Clone, Debug)]
pub enum Order {
    /// To show the policy.
    Show,
    /// To change it.
    Set(Change),
    /// To show how the breaker stands.
    Breaker,
    /// To release all that the breaker holds, for this reason.
    Release(String),
    /// To take all away that it holds, for this reason.
    Confirm(String),
    /// To show what waits for a second person.
    Approvals,
    /// To give a second person's word.
    Decide {
        /// On which order.
        id: ApprovalId,
        /// Whether it is done.
        approve: bool,
        /// Why.
        reason: Option<String>,
    },
}

/// How a policy changes: to what a file says, if one is named, and in it what is said beside that.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What `show` printed, edited; or the policy alone.
    pub file: Option<PathBuf>,
    /// What follows from a score.
    pub mode: Option<Mode>,
    /// Thresholds, by their names.
    pub thresholds: [(&'static str, Option<Number>); 3],
    /// Suspicious events that have to come together.
    pub minimum_events: Option<u32>,
    /// The risk model; an empty one is that which the tenant was made with.
    pub model: Option<String>,
    /// Whether automatic revocations never become holds.
    pub no_breaker: bool,
    /// What needs a second person, and nothing else.
    pub second_approver: Option<Vec<String>>,
    /// Why.
    pub reason: Option<String>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyCommandError {
    /// The server refuses, or does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no policy; write what `kakunin policy show` printed, edited: {why}", path = path.display())]
    NoPolicy {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Somebody else changed the policy since it was read.
    #[error("{path} is an edit of another policy than is in force by now; read that with `kakunin policy show`, and edit it", path = .0.display())]
    Changed(PathBuf),
    /// Output, or the runtime.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Does it, and says what came of it, as JSON.
///
/// # Errors
/// [`PolicyCommandError`].
pub async fn run(client: &Client, tenant: &TenantId, order: &Order) -> Result<String, PolicyCommandError> {
    let below = |rest: &str| format!("/api/v1/tenants/{tenant}/{rest}");
    let reason = |reason: &String| json!({ "reason": reason });
    let reply = match order {
        Order::Show => client.get(&below("policy")).await?,
        Order::Set(change) => set(client, &below("policy"), change).await?,
        Order::Breaker => client.get(&below("breaker")).await?,
        Order::Release(why) => post(client, &below("breaker/release"), &reason(why)).await?,
        Order::Confirm(why) => post(client, &below("breaker/confirm"), &reason(why)).await?,
        Order::Approvals => client.get(&below("approvals")).await?,
        Order::Decide { id, approve, reason } => {
            let word = if *approve { "approve" } else { "reject" };
            post(client, &below(&format!("approvals/{id}/{word}")), &json!({ "reason": reason })).await?
        }
    };
    Ok(said(&reply))
}

/// Gives a verdict on an agent's score, and says how it stands then, as JSON.
///
/// # Errors
/// [`ClientError`].
pub async fn judge(
    client: &Client,
    agent: &AgentId,
    verdict: Verdict,
    reason: &str,
    cause: Option<&str>,
) -> Result<String, ClientError> {
    let body = json!({ "verdict": verdict, "reason": reason, "cause": cause });
    Ok(said(&post(client, &format!("/api/v1/agents/{agent}/verdict"), &body).await?))
}

async fn post(client: &Client, path: &str, body: &Value) -> Result<Reply, ClientError> {
    client.send(Method::POST, path, &[], Some(body)).await
}

fn said(reply: &Reply) -> String {
    match (reply.status, reply.data().get("message").and_then(Value::as_str)) {
        (StatusCode::ACCEPTED, Some(message)) => message.to_owned(),
        _ => format!("{:#}", reply.data()),
    }
}

/// Reads, edits, and writes in place of what was read.
async fn set(client: &Client, path: &str, change: &Change) -> Result<Reply, PolicyCommandError> {
    let now = client.get(path).await?;
    let unexpected = || ClientError::Unexpected { what: format!("GET {path}") };
    let tag = now.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).ok_or_else(unexpected)?;
    let mut policy = match &change.file {
        Some(file) => from_file(file, now.data().get("since"))?,
        None => now.data().get("policy").and_then(Value::as_object).cloned().ok_or_else(unexpected)?,
    };
    edit(&mut policy, change);
    let body = json!({ "policy": policy, "reason": change.reason });
    let fields: [(HeaderName, &str); 1] = [(header::IF_MATCH, tag)];
    Ok(client.send(Method::PUT, path, &fields, Some(&body)).await?)
}

/// The policy in a file. If it says since when it was in force, it is still.
fn from_file(path: &PathBuf, since: Option<&Value>) -> Result<Map<String, Value>, PolicyCommandError> {
    let unreadable = |source| PolicyCommandError::File { path: path.clone(), source };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let no_policy = |why: String| PolicyCommandError::NoPolicy { path: path.clone(), why };
    let mut whole: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| no_policy(error.to_string()))?;
    if whole.get("since").is_some_and(|edited| Some(edited) != since) {
        return Err(PolicyCommandError::Changed(path.clone()));
    }
    match whole.remove("policy") {
        None => Ok(whole),
        Some(Value::Object(policy)) => Ok(policy),
        Some(_) => Err(no_policy("`policy` is no object".to_owned())),
    }
}

fn edit(policy: &mut Map<String, Value>, change: &Change) {
    let mut put = |within: Option<&str>, name: &str, value: Value| {
        let members = match within {
            Some(outer) => policy.entry(outer).or_insert_with(|| json!({})).as_object_mut(),
            None => Some(&mut *policy),
        };
        members.map(|members| members.insert(name.to_owned(), value));
    };
    change.mode.into_iter().for_each(|mode| put(None, "mode", json!(mode)));
    for (name, threshold) in &change.thresholds {
        threshold.iter().for_each(|number| put(Some("thresholds"), name, number.clone().into()));
    }
    change.minimum_events.into_iter().for_each(|events| put(Some("minimum"), "events", events.into()));
    if let Some(model) = &change.model {
        put(None, "model", if model.is_empty() { Value::Null } else { json!(model) });
    }
    if change.no_breaker {
        put(None, "breaker", Value::Null);
    }
    for (word, named) in change.second_approver.iter().flat_map(|named| SECOND.map(|word| (word, named))) {
        put(Some("second_approver"), word, named.iter().any(|one| one == word).into());
    }
}

/// What may need a second person.
pub const SECOND: [&str; 3] = ["revoke", "release", "policy"];
