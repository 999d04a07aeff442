//! Certificates that are taken away, suspended and released.

use axum::extract::{Path, State};
use kakunin_core::agent::Note;
use kakunin_core::id::Serial;
use kakunin_core::revoke::{Cause, Revocation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::auth::Operator;
use super::certificates::serial_of;
use super::compat::reason::{RawReason, Reason, given, to_revoke};
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Nothing, Optional};
use super::schema::NoteText;
use super::waiting::WaitingBody;

/// Why it is taken away.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokeBody {
    /// `certificateHold` suspends the certificate, as `hold` does; each other revokes it for good.
    /// `operator_initiated` if not given.
    #[serde(default, deserialize_with = "given")]
    #[schema(schema_with = to_revoke, required = false)]
    reason: Option<RawReason>,
    /// A sentence for whoever reads the record.
    #[schema(value_type = Option<NoteText>)]
    operator_note: Option<String>,
}

/// A certificate that was taken away.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedBody {
    certificate_id: String,
    serial_number: String,
    /// `revoked` or `suspended`.
    status: String,
    revoked_at: String,
    reason: String,
    /// The reason as it was sent; null where none was.
    reason_given: Option<String>,
}

/// Revokes a certificate for good, and with it the one that stands beside it after a renewal, unless the older of both
/// is `superseded`; or suspends both for `certificateHold`. The first reason stands: revoking it
/// again answers with that. A reason that is not understood is refused.
#[utoipa::path(
    operation_id = "revokeCertificate",
    post, path = "/api/v1/certificates/{id}/revoke", tag = "certificates", request_body = Option<RevokeBody>,
    params(("id" = String, Path, description = "Serial number.", pattern = "^[0-9A-F]{32}$")),
    responses(
        (status = 200, description = "Revoked.", body = Data<RevokedBody>),
        (status = 202, description = "Waits for a second person.", body = Data<WaitingBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Optional(body): Optional<RevokeBody>,
) -> Result<Data<RevokedBody>, ApiError> {
    let serial = serial_of(&id)?;
    let reason = match body.reason.map_or_else(|| Ok(Reason::NONE), |reason| reason.understood()) {
        Ok(reason) => reason,
        Err(error) => {
            // Of a certificate that does not exist for the caller, nothing else is said.
            app.kakunin.tenant(caller.tenant()).certificate(&serial).await?;
            return Err(error);
        }
    };
    let note = body.operator_note.map(Note::try_from).transpose()?;
    let (cause, given) = (reason.cause, reason.sent.clone());
    let kakunin = caller.kakunin(&app).saying(reason.said(note));
    let (status, taken) = if cause == Cause::Hold {
        ("suspended", kakunin.tenant(caller.tenant()).hold(&serial).await?)
    } else {
        ("revoked", kakunin.tenant(caller.tenant()).revoke(&serial, cause).await?)
    };
    // The first reason stands, and this one may not be it.
    let given = given.filter(|_| taken.cause == cause).map(|given| given.as_str().to_owned());
    Ok(Data { data: RevokedBody::new(&serial, status, &taken, given) })
}

impl RevokedBody {
    fn new(serial: &Serial, status: &str, taken: &Revocation, reason_given: Option<String>) -> Self {
        let serial_number = serial.to_string();
        Self {
            certificate_id: serial_number.clone(),
            serial_number,
            status: status.to_owned(),
            revoked_at: taken.at.to_string(),
            reason: taken.cause.as_str().to_owned(),
            reason_given,
        }
    }
}

/// Suspends a certificate until it is released.
#[utoipa::path(
    operation_id = "holdCertificate",
    post, path = "/api/v1/certificates/{id}/hold", tag = "certificates",
    params(("id" = String, Path, description = "Serial number.", pattern = "^[0-9A-F]{32}$")),
    responses(
        (status = 200, description = "Suspended.", body = Data<RevokedBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn hold(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Data<RevokedBody>, ApiError> {
    let serial = serial_of(&id)?;
    let held = caller.kakunin(&app).tenant(caller.tenant()).hold(&serial).await?;
    Ok(Data { data: RevokedBody::new(&serial, "suspended", &held, None) })
}

/// A certificate that is accepted again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReleasedBody {
    certificate_id: String,
    serial_number: String,
    /// `active`
    status: String,
}

/// Ends a suspension. Of a certificate that the breaker holds, the evidence is dismissed with it.
#[utoipa::path(
    operation_id = "releaseCertificate",
    post, path = "/api/v1/certificates/{id}/release", tag = "certificates",
    params(("id" = String, Path, description = "Serial number.", pattern = "^[0-9A-F]{32}$")),
    responses(
        (status = 200, description = "Accepted again.", body = Data<ReleasedBody>),
        (status = 202, description = "Waits for a second person.", body = Data<WaitingBody>),
        (status = "4XX", description = "Refused; 409 if it is revoked.", body = ErrorBody),
    ),
)]
pub(crate) async fn release(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Data<ReleasedBody>, ApiError> {
    let serial = serial_of(&id)?;
    caller.kakunin(&app).tenant(caller.tenant()).release(&serial).await?;
    let serial_number = serial.to_string();
    let status = "active".to_owned();
    Ok(Data { data: ReleasedBody { certificate_id: serial_number.clone(), serial_number, status } })
}
