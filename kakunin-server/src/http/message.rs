//! Whether a message was signed with the key of a certificate, and whether that stands. For anybody.

use axum::extract::State;
use axum::http::request::Parts;
use base64ct::{Base64, Encoding};
use kakunin_core::crypto::PublicKey;
use kakunin_core::id::Serial;
use kakunin_core::key::Spki;
use kakunin_core::x509::certificate::CertificateView;

use super::anonymous;
use super::app::App;
use super::compat::message::{MessageAnswer, MessageBody};
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json};
use super::peer::client_address;
use super::verify::card;

/// Says whether a message was signed with the key of a certificate, and whether that stands.
#[utoipa::path(
    operation_id = "verifyMessage",
    post, path = "/api/v1/verify/message", tag = "public", request_body = MessageBody, security(()),
    responses(
        (status = 200, description = "Whether it holds.", body = Data<MessageAnswer>),
        (status = "4XX", description = "Refused; 404 if no certificate has that serial number.", body = ErrorBody),
    ),
)]
pub(crate) async fn verify(
    State(app): State<App>,
    _: anonymous::Message,
    parts: Parts,
    Json(body): Json<MessageBody>,
) -> Result<Data<MessageAnswer>, ApiError> {
    let unknown = || ApiError::not_found("certificate");
    let serial: Serial = body.certificate_serial.parse().map_err(|_| unknown())?;
    let card = match card(&app, &serial).await {
        Ok(card) => card,
        Err(error) => {
            app.limits.stranger(client_address(&parts, &app.options.trusted_proxies))?;
            return Err(error);
        }
    };
    let found = app.kakunin.find(&serial).await?;
    let view = CertificateView::parse(&found.der, &app.kakunin.place().arc).map_err(|_| unknown())?;
    let key = Spki::from_der(view.spki).and_then(|spki| PublicKey::parse(&spki)).map_err(|_| unknown())?;
    let message = body.payload.canonical()?;
    let signature = Base64::decode_vec(&body.signature).unwrap_or_default();
    let certificate = card.body();
    let same_agent = body.agent_id.as_ref().is_none_or(|id| *id == certificate.agent.id);
    let signature_valid = same_agent && key.verify(message.as_bytes(), &signature).is_ok();
    Ok(Data {
        data: MessageAnswer {
            valid: signature_valid && certificate.valid,
            signature_valid,
            certificate_status: certificate.status.clone(),
            agent_id: certificate.agent.id.clone(),
            agent_name: certificate.agent.name.clone(),
            model_hash: certificate.model_hash.clone(),
            certificate_serial: certificate.serial_number.clone(),
            expires_at: certificate.expires_at.clone(),
            revoked_at: certificate.revoked_at.clone(),
        },
    })
}
