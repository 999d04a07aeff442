//! Refusals: a sentence, a stable code and the request's identifier, in one shape.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::access::Role;
use kakunin_core::agent::AgentError;
use kakunin_core::error::StoreError;
use kakunin_core::issue::IssueError;
use kakunin_core::service::Error as ServiceError;
use kakunin_core::time::SECOND;
use kakunin_core::webhook::WebhookError;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::advice::advised;
use super::counts;
use super::request_id::{RequestId, current};
use super::status::status_of;
use super::waiting::WaitingBody;

/// Why a request was not done; or not yet, where it waits for a second person.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    sentence: String,
    retry_after: Option<u64>,
    /// How to show who asks, where the kind of refusal does not say it.
    challenge: Option<&'static str>,
    /// A refusal of the gateway check: its `error` is the code.
    gateway: bool,
    /// Which member is wrong.
    field: Option<Cow<'static, str>>,
    /// Of many things that were sent, what is said of each.
    results: Option<Arc<Value>>,
    /// What there is already, where that is why it was refused.
    data: Option<Arc<Value>>,
}

/// Each 401 says how to show who asks (RFC 9110, 11.6.1): with an API key; as an agent, by the signature that `tag` names or
/// a TLS certificate; or, in the body, with a join token.
const BEARER: &str = "Bearer realm=\"kakunin\"";
const BEARER_INVALID: &str = "Bearer realm=\"kakunin\", error=\"invalid_token\"";
const SIGNATURE: &str = "Signature tag=\"kakunin-request\"";
const JOIN_TOKEN: &str = "JoinToken realm=\"kakunin\"";

/// The code of a refused content coding; its answer says which are taken (RFC 9110, 12.5.3).
pub(crate) const CODING: &str = "content_encoding";

/// A refusal.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What is wrong and what to do, as a sentence; for refusals of the gateway check, the code.
    error: String,
    /// The same, as a code that stays.
    code: String,
    /// For refusals of the gateway check: what is wrong, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Which request it was, as the log of the server calls it.
    request_id: String,
    /// Which member is wrong, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What is said of each of many events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    results: Option<Value>,
    /// What there is already: `certificate_id` where an agent has a certificate, `risk_score` and `verdict_url` where a verdict
    /// on its score is needed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<Value>,
}

/// RFC 9457, for callers that ask for `application/problem+json`.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, sentence: impl Into<String>) -> Self {
        let (sentence, retry_after, challenge) = (sentence.into(), None, None);
        let (field, results, data) = (None, None, None);
        Self { status, code, sentence, retry_after, challenge, gateway: false, field, results, data }
    }

    pub(crate) fn bad_request(code: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, sentence)
    }

    pub(crate) fn unprocessable(code: &'static str, sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, sentence)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("no such {what}"))
    }

    /// In the core's words for one that is not kept: nobody learns why there is none.
    pub(crate) fn no_certificate() -> Self {
        Self::from(ServiceError::NO_CERTIFICATE)
    }

    pub(crate) fn unauthorized(code: &'static str, sentence: &str) -> Self {
        Self { challenge: Some(BEARER), ..Self::new(StatusCode::UNAUTHORIZED, code, sentence) }
    }

    /// The same for an API key that was shown, and opens nothing (RFC 6750, 3.1).
    pub(crate) fn key_invalid(sentence: &str) -> Self {
        Self { challenge: Some(BEARER_INVALID), ..Self::unauthorized("api_key_invalid", sentence) }
    }

    pub(crate) fn is_unauthorized(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Whether nobody showed who asks, or somebody whose identity is gone.
    pub(crate) fn is_about_who_asks(&self) -> bool {
        let gone = ["agent_revoked", "agent_inactive", "agent_expired", "cert_not_found"];
        self.is_unauthorized() || self.gateway && gone.contains(&self.code)
    }

    pub(crate) fn role(needed: Role) -> Self {
        let sentence = format!("this key's role does not allow it; use one with role `{needed}`");
        Self::new(StatusCode::FORBIDDEN, "role_insufficient", sentence)
    }

    pub(crate) fn too_many(retry_after: u64) -> Self {
        let sentence = format!("too many requests; wait {retry_after} s");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", sentence);
        Self { retry_after: Some(retry_after), ..error }
    }

    pub(crate) fn busy(code: &'static str, sentence: &str, retry_after: u64) -> Self {
        let sentence = format!("{sentence}; wait {retry_after} s");
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, sentence);
        Self { retry_after: Some(retry_after), ..error }
    }

    /// A fault of ours that is in the log already.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; its log says where")
    }

    pub(crate) fn gateway(status: u16, code: &'static str, sentence: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
        Self { gateway: true, ..Self::new(status, code, sentence) }
    }

    /// The same refusal, which is about this member, unless it is known to be about another.
    pub(crate) fn about(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field.get_or_insert_with(|| field.into());
        self
    }

    /// The same refusal, with the name of the member in another spelling, if it has one.
    pub(crate) fn spelt(mut self, other: impl Fn(&str) -> Option<&'static str>) -> Self {
        if let Some(known) = self.field.as_deref().and_then(other) {
            self.field = Some(known.into());
        }
        self
    }

    /// The same refusal, because of one event of many, with what is said of each.
    pub(crate) fn of_event(self, index: usize, results: Value) -> Self {
        let sentence = format!("event {index}: {}; nothing was recorded", self.sentence);
        Self { sentence, results: Some(Arc::new(results)), ..self }
    }

    /// The same refusal, because of what there is already.
    pub(crate) fn because_of(self, data: Value) -> Self {
        Self { data: Some(Arc::new(data)), ..self }
    }

    /// Whether it is this server that cannot do it, whatever is sent.
    pub(crate) fn is_ours(&self) -> bool {
        self.status.is_server_error()
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) const fn code(&self) -> &'static str {
        self.code
    }

    /// In how many seconds it may be done, if that is all that is wrong.
    pub(crate) const fn waits(&self) -> Option<u64> {
        self.retry_after
    }

    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }

    pub(crate) fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The same refusal, with when to come back, in seconds.
    pub(crate) const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The same refusal, as the gateway check answers it.
    pub(crate) const fn at_gateway(mut self) -> Self {
        self.gateway = true;
        self
    }

    /// The same refusal, for gateways that know 401 and 403 and take other refusals for faults of ours.
    pub(crate) fn at_forward_auth(mut self) -> Self {
        if self.status.is_client_error() && self.status != StatusCode::UNAUTHORIZED {
            self.status = StatusCode::FORBIDDEN;
        }
        self.at_gateway()
    }

    pub(crate) fn render(&self, request_id: &str, problem: bool) -> Response {
        let title = self.status.canonical_reason().unwrap_or("error");
        let (kind, body) = if self.status.is_success() {
            ("application/json", serde_json::to_vec(&json!({ "data": self.data.as_deref() })))
        } else if problem {
            let body = Problem {
                r#type: format!("urn:kakunin:error:{}", self.code),
                title,
                status: self.status.as_u16(),
                detail: &self.sentence,
                code: self.code,
                request_id,
            };
            ("application/problem+json", serde_json::to_vec(&body))
        } else {
            let (error, message) = if self.gateway {
                (self.code.to_owned(), Some(self.sentence.clone()))
            } else {
                (self.sentence.clone(), None)
            };
            let body = ErrorBody {
                error,
                code: self.code.to_owned(),
                message,
                request_id: request_id.to_owned(),
                field: self.field().map(str::to_owned),
                results: self.results.as_deref().cloned(),
                data: self.data.as_deref().cloned(),
            };
            ("application/json", serde_json::to_vec(&body))
        };
        let mut response = (self.status, body.unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.is_unauthorized() {
            let challenge = self.challenge.unwrap_or(if self.gateway { SIGNATURE } else { BEARER });
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.code == CODING {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl IntoResponse for ApiError {
    /// Rendered on its way out, by [`finish`], which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ServiceError> for ApiError {
    fn from(error: ServiceError) -> Self {
        let status = status_of(&error);
        let code = error.code();
        if let ServiceError::Store(StoreError::Full) = &error {
            // The log says once that there is no room, and not of each request.
            counts::STORAGE_REFUSED.count();
            let sentence = "there is no room left in the store, and nothing of this was recorded; whoever runs the server \
                makes room, then send it again";
            return Self { retry_after: Some(5), ..Self::new(status, code, sentence) };
        }
        if status.is_server_error() {
            // Details are the operator's, not the caller's.
            let request_id = current();
            let request_id = request_id.as_ref().map(RequestId::as_str);
            tracing::error!(request_id, code, error = %chain(&error), "a request could not be done");
            let retry_after = Some(5);
            let sentence = match &error {
                // Nothing but an operator helps, and whoever waits should know.
                ServiceError::Issue(
                    IssueError::IssuerExpired(_)
                    | IssueError::IssuerNotYetValid(_)
                    | IssueError::IssuerRevoked(_),
                ) => advised(&error),
                _ => "the server cannot do this now; its log says why".to_owned(),
            };
            return Self { retry_after, ..Self::new(status, code, sentence) };
        }
        if status == StatusCode::UNAUTHORIZED {
            return Self { challenge: Some(JOIN_TOKEN), ..Self::new(status, code, error.to_string()) };
        }
        let field = match &error {
            ServiceError::TooManyStreams | ServiceError::StreamJump | ServiceError::NumberReused => {
                Some("stream".into())
            }
            ServiceError::IdReused => Some("client_id".into()),
            ServiceError::JoinTokenLife => Some("expires_in".into()),
            ServiceError::Agent(AgentError::Attestation) => Some("model_hash".into()),
            ServiceError::Webhook(WebhookError::Events) => Some("events".into()),
            ServiceError::Webhook(WebhookError::Guard(_)) => Some("url".into()),
            _ => None,
        };
        let retry_after = match &error {
            ServiceError::QueueFull => Some(1),
            ServiceError::SelfRenewal { wait } => Some(wait / SECOND + 1),
            ServiceError::Webhook(WebhookError::Pinging) => Some(10),
            _ => None,
        };
        let sentence = advised(&error);
        let data = match &error {
            ServiceError::Waits(id) => {
                serde_json::to_value(WaitingBody::new(id, &sentence)).ok().map(Arc::new)
            }
            _ => None,
        };
        Self { field, retry_after, data, ..Self::new(status, code, sentence) }
    }
}

impl From<AgentError> for ApiError {
    fn from(error: AgentError) -> Self {
        ServiceError::from(error).into()
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_more_than_is_written_is_told_when_to_come_back() {
        let error = ApiError::from(ServiceError::QueueFull);
        let response = error.render("r", false);
        assert_eq!((response.status(), error.code()), (StatusCode::TOO_MANY_REQUESTS, "queue_full"));
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }
}
