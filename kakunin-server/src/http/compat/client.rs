//! What some clients of this kind cannot read otherwise.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use kakunin_core::agent::AgentState;

/// Whom the answer is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dialect {
    Plain,
    /// The Python client `kakunin`: of the states it knows no `pending`, and stops at it.
    PythonClient,
}

impl<S: Send + Sync> FromRequestParts<S> for Dialect {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let agent = parts.headers.get(header::USER_AGENT);
        let is_python = agent.is_some_and(|agent| agent.as_bytes().starts_with(b"kakunin-python/"));
        Ok(if is_python { Self::PythonClient } else { Self::Plain })
    }
}

impl Dialect {
    /// An agent without a certificate may do as little as a suspended one.
    pub(crate) fn state(self, state: AgentState) -> String {
        match (self, state) {
            (Self::PythonClient, AgentState::Pending) => AgentState::Suspended.to_string(),
            (_, state) => state.to_string(),
        }
    }
}
