//! Which handler answers what.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{any, delete, get, post};
use kakunin_core::service::Kakunin;
use kakunin_core::time::Clock;
use tokio::sync::watch;

use super::app::App;
use super::error::ApiError;
use super::frame::frame;
use super::json::MAX_BODY;
use super::options::ApiOptions;
use super::validator::{tag_of, validated};
use super::{
    access, agents, anonymous, audit, certificates, certify, crl, enrol, event_batch, events, feed, gateway,
    health, message, openapi, orders, pki, revoke, risk, shared, verify,
};

/// Most octets of a body from who shows no account: a message to verify, a request for a certificate, one to check.
const MAX_ANONYMOUS_BODY: usize = 128 * 1024;

/// The API of a deployment.
///
/// # Errors
/// If the deployment's own certificates make no verifier.
pub fn router(
    kakunin: Kakunin,
    clock: Arc<dyn Clock>,
    options: ApiOptions,
) -> Result<Router, kakunin_verify::SetupError> {
    router_until(kakunin, clock, options, watch::channel(false).1)
}

/// The API of a deployment, whose streams end once `ended` becomes true.
///
/// # Errors
/// As [`router`].
pub fn router_until(
    kakunin: Kakunin,
    clock: Arc<dyn Clock>,
    options: ApiOptions,
    ended: watch::Receiver<bool>,
) -> Result<Router, kakunin_verify::SetupError> {
    Ok(routes(App::new(kakunin, clock, options, ended)?))
}

/// The routes of an API.
pub(crate) fn routes(app: App) -> Router {
    let anonymous = || DefaultBodyLimit::max(MAX_ANONYMOUS_BODY);
    let api = Router::new()
        .route("/agents", get(agents::list).post(agents::create))
        .route("/agents/{id}", get(agents::get).patch(agents::patch).delete(agents::retire))
        .route("/agents/{id}/certify", post(certify::certify))
        .route("/agents/{id}/renew", post(certify::renew))
        .route("/agents/{id}/join-tokens", post(enrol::create_token))
        .route("/agents/{id}/grants", post(enrol::grant))
        .route("/enroll", post(enrol::enrol).layer(anonymous()))
        .route("/enroll/renew", post(enrol::renew).layer(anonymous()))
        .route("/agents/{id}/halt", post(orders::halt))
        .route("/agents/{id}/reinstate", post(orders::reinstate))
        .route("/agents/{id}/sign", post(orders::sign))
        .route("/agents/{id}/risk", get(risk::risk))
        .route("/certificates/{id}", get(certificates::get))
        .route("/certificates/{id}/revoke", post(revoke::revoke))
        .route("/certificates/{id}/hold", post(revoke::hold))
        .route("/certificates/{id}/release", post(revoke::release))
        .route("/events", get(events::list).post(events::create))
        .route("/events/batch", post(event_batch::batch))
        .route("/notifications", get(risk::notifications))
        .route("/audit-log", get(audit::log))
        .route("/gateway/check", post(gateway::check::check).layer(anonymous()))
        .route("/gateway/auth", any(gateway::forward::authorize))
        .route("/gateway/auth/", any(gateway::forward::authorize))
        .route("/gateway/auth/{*path}", any(gateway::forward::authorize))
        .route("/tenants", post(access::create_tenant))
        .route("/tenants/{id}", get(access::get_tenant).patch(access::patch_tenant))
        .route("/api-keys", get(access::list_keys).post(access::create_key))
        .route("/api-keys/{id}", delete(access::revoke_key))
        .route("/verify/message", post(message::verify).layer(anonymous()))
        .route("/verify/{serial}", get(verify::verify))
        .route("/crl", get(crl::full))
        .route("/crl/chain", get(crl::chain))
        .route("/crl/{issuer}/{shard}", get(crl::shard))
        .route("/feed/{issuer}", get(feed::page))
        .route("/feed/{issuer}/snapshot", get(feed::snapshot))
        .route("/feed/{issuer}/stream", get(feed::stream))
        .route("/ca", get(pki::authorities))
        .route("/ca/chain", get(pki::chain))
        .route("/ca/{file}", get(pki::certificate))
        .route("/spiffe/bundle", get(pki::bundle))
        .route("/openapi.json", get(description));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), frame))
        .with_state(app)
}

async fn description(_: anonymous::File, headers: HeaderMap) -> Result<Response, ApiError> {
    static RENDERED: LazyLock<(Bytes, String)> = LazyLock::new(|| {
        let octets = Bytes::from(openapi::document().to_string());
        let tag = tag_of(&octets);
        (octets, tag)
    });
    let (octets, tag) = &*RENDERED;
    let json = HeaderValue::from_static("application/json");
    let render = || Ok::<_, ApiError>(shared::answer(octets.clone(), json));
    let mut response = validated(&headers, tag, None, render)?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}
