//! `kakunin erase`: what an agent's events hold beside their records is erased, by the API of a running server.

use axum::http::Method;
use kakunin_core::id::AgentId;
use kakunin_core::month::Month;
use serde_json::json;

use crate::client::{Client, ClientError};

/// What is to be erased.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of which agent.
    pub agent: AgentId,
    /// The first month.
    pub from: Month,
    /// The last month; `None`: the first one.
    pub to: Option<Month>,
    /// Why, such as the legal basis.
    pub reason: String,
}

/// Erases it, and says what was recorded.
///
/// # Errors
/// [`ClientError`].
pub async fn run(client: &Client, options: &Options) -> Result<String, ClientError> {
    let Options { agent, from, to, reason } = options;
    let body = json!({ "from": from, "to": to, "reason": reason });
    let path = format!("/api/v1/agents/{agent}/erase");
    let reply = client.send(Method::POST, &path, &[], Some(&body)).await?;
    Ok(format!("{:#}", reply.data()))
}
