//! What anybody may ask of a certificate, by its serial number: from the certificate itself.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::response::Response;
use kakunin_core::error::StoreError;
use kakunin_core::id::Serial;
use kakunin_core::service::{CertificateStatus, Error as ServiceError};
use kakunin_core::time::{SECOND, UnixTime};
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::name::NameParts;

use super::anonymous;
use super::app::App;
use super::card::Card;
use super::compat::card::{VerifyBody, agent_body};
use super::compat::halt_receipt::receipt;
use super::error::{ApiError, ErrorBody};
use super::html;
use super::json::Data;
use super::peer::client_address;
use super::preference::preferred;
use super::shared;
use super::standing::Standing;
use super::validator::{tag_of, validated};
use super::viewer::publish;

/// How long one is served without being made anew, and how long others may keep it, in milliseconds.
pub const MAX_AGE: u64 = 5 * SECOND;
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=5");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Says of a certificate whether it stands, and for whom and what it is. For anybody, without an account.
#[utoipa::path(
    operation_id = "verifyCertificate",
    get, path = "/api/v1/verify/{serial}", tag = "public", security(()),
    params(("serial" = String, Path, description = "Serial number: 32 hex digits, `:` between octets if need be.")),
    responses(
        (status = 200, description = "The certificate, standing or not.",
            content((Data<VerifyBody> = "application/json"), (String = "text/html"))),
        (status = "4XX", description = "404 for every serial number that no certificate has.", body = ErrorBody),
    ),
)]
pub(crate) async fn verify(
    State(app): State<App>,
    _: anonymous::Card,
    Path(serial): Path<String>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let card = match serial.parse::<Serial>() {
        Ok(serial) => card(&app, &serial).await,
        Err(_) => Err(ApiError::no_certificate()),
    };
    let card = match card {
        Ok(card) => card,
        Err(error) => {
            // Serial numbers are random: whoever asks for many that do not exist is guessing.
            let (parts, _) = request.into_parts();
            app.limits.stranger(client_address(&parts, &app.options.trusted_proxies))?;
            return Err(error);
        }
    };
    let headers = request.headers();
    let html = preferred(headers, &["application/json", "text/html"])? == "text/html";
    let tag = if html { &card.tags.1 } else { &card.tags.0 };
    let response = validated(headers, tag, Some("accept"), || {
        Ok::<_, ApiError>(if html {
            html::certificate(&card.body)
        } else {
            shared::answer(card.json.clone(), JSON)
        })
    })?;
    Ok(publish(response, CACHE_CONTROL))
}

/// The answer about one certificate.
pub(crate) async fn card(app: &App, serial: &Serial) -> Result<Arc<Card>, ApiError> {
    app.kakunin.in_touch()?;
    let now = app.now();
    if let Some(card) = app.cards.0.get(serial)
        // One that is kept longer than any is of a clock that was ahead.
        && now < card.until
        && card.until.since(now) <= MAX_AGE
        && app.kakunin.revocations().reason(&card.issuer, serial) == Ok(card.reason)
    {
        return Ok(card);
    }
    let status = app.kakunin.find(serial).await?;
    let card = Arc::new(make(app, serial, &status, now)?);
    app.cards.0.insert(*serial, card.clone());
    Ok(card)
}

fn make(app: &App, serial: &Serial, status: &CertificateStatus, now: UnixTime) -> Result<Card, ApiError> {
    let corrupt = || ServiceError::from(StoreError::Corrupt("a stored certificate does not parse".into()));
    let view = CertificateView::parse(&status.der, &app.kakunin.place().arc).map_err(|_| corrupt())?;
    let claims = view.extensions.agent.to_owned().ok_or_else(corrupt)?;
    let subject = NameParts::read(view.subject).map_err(|_| corrupt())?;
    let issuer = view.issuer_id().ok_or_else(corrupt)?;
    let expired = now > view.not_after;
    // Nothing that a revoked authority issued is valid, whatever is on record of it.
    let above = app.kakunin.authority_revoked(&issuer);
    let own = status.revocation.map(|revocation| revocation.cause.reason());
    let standing = Standing::of(own.into_iter().chain(above), expired);
    let word = standing.as_str();
    // As it is kept: nothing is signed for whoever asks.
    let signed = status.halt.as_ref().zip(status.receipt.as_ref());
    let halt_receipt = signed.map(|(halt, signed)| receipt(&claims.agent, halt, Some(signed)));
    let (issued_at, expires_at) = (view.not_before.to_string(), view.not_after.to_string());
    let agent = agent_body(&claims, &subject, status);
    let body = VerifyBody {
        serial_number: serial.to_string(),
        serial: serial.to_string(),
        status: word.to_owned(),
        certificate_status: word.to_owned(),
        valid: standing == Standing::Active && now >= view.not_before,
        valid_from: issued_at.clone(),
        valid_until: expires_at.clone(),
        issued_at,
        expires_at,
        issuer: issuer.to_string(),
        spiffe_id: view.extensions.uri.map(str::to_owned),
        agent_id: agent.id.clone(),
        agent_name: agent.name.clone(),
        operator_org: agent.operator_org.clone(),
        permitted_actions: agent.permitted_actions.clone(),
        model_hash: agent.model_hash.clone(),
        financial_scope: agent.financial_scope.clone(),
        revoked_at: status.revocation.map(|r| r.at.to_string()),
        revocation_reason: match status.revocation {
            Some(revocation) => Some(revocation.cause.as_str().to_owned()),
            None => above.map(|_| "issuer_revoked".to_owned()),
        },
        halt_receipt,
        agent,
    };
    let json = serde_json::to_vec(&Data { data: &body }).map_err(|_| corrupt())?;
    // What expires within these seconds is asked for again when it does.
    let until = if expired { now.plus(MAX_AGE) } else { now.plus(MAX_AGE).min(view.not_after.plus(1)) };
    let tag = tag_of(&json);
    let tags = (tag.clone(), format!("{}-html\"", tag.trim_end_matches('"')));
    Ok(Card { body, json: json.into(), tags, issuer, reason: own, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_are_told_what_is_counted_on() {
        assert_eq!(CACHE_CONTROL, format!("public, max-age={}", MAX_AGE / SECOND));
    }
}
