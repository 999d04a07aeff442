//! Which HTTP status a refusal of the core is.

use axum::http::StatusCode;
use kakunin_core::agent::AgentError;
use kakunin_core::error::StoreError;
use kakunin_core::service::Error as ServiceError;
use kakunin_core::webhook::WebhookError;
use kakunin_core::x509::csr::CsrError;

/// The status of a refusal.
pub(super) const fn status_of(error: &ServiceError) -> StatusCode {
    match error {
        ServiceError::NotFound(_) => StatusCode::NOT_FOUND,
        ServiceError::SelfRenewal { .. } | ServiceError::QueueFull => StatusCode::TOO_MANY_REQUESTS,
        ServiceError::Exists(_)
        | ServiceError::Suspended(_)
        | ServiceError::Csr(CsrError::Duplicate)
        | ServiceError::KeyElsewhere
        | ServiceError::SharedIssuer
        | ServiceError::IdReused
        | ServiceError::NonceUsed
        | ServiceError::NumberReused
        | ServiceError::TooManyMarks
        | ServiceError::NotGrantable
        | ServiceError::VerdictNeeded(_)
        | ServiceError::NotTripped
        | ServiceError::SecondPerson
        | ServiceError::SamePerson
        | ServiceError::OrderOutdated
        | ServiceError::Unnamed
        | ServiceError::TooManyWaiting
        | ServiceError::TooManyErasures
        | ServiceError::Agent(AgentError::State { .. } | AgentError::Attestation) => StatusCode::CONFLICT,
        // It is done once somebody else says so.
        ServiceError::Waits(_) => StatusCode::ACCEPTED,
        ServiceError::PolicyChanged => StatusCode::PRECONDITION_FAILED,
        ServiceError::JoinToken => StatusCode::UNAUTHORIZED,
        ServiceError::Webhook(WebhookError::TooMany) => StatusCode::CONFLICT,
        ServiceError::Webhook(WebhookError::Pinging) => StatusCode::TOO_MANY_REQUESTS,
        ServiceError::Webhook(WebhookError::NoneHere) => StatusCode::SERVICE_UNAVAILABLE,
        ServiceError::Agent(_)
        | ServiceError::Webhook(_)
        | ServiceError::JoinTokenLife
        | ServiceError::Policy(_)
        | ServiceError::VerdictCause
        | ServiceError::ErasureMonths
        | ServiceError::Csr(_)
        | ServiceError::TooManyEvents(_)
        | ServiceError::TooManyStreams
        | ServiceError::StreamJump
        | ServiceError::OneOfMany { .. }
        | ServiceError::Record(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ServiceError::Store(StoreError::Full) => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
