//! The router of an API.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use kakunin_core::service::Kakunin;
use kakunin_core::time::Clock;
use tokio::sync::watch;

use super::app::App;
use super::frame::frame;
use super::json::MAX_BODY;
use super::options::ApiOptions;
use super::{openapi, routes};

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
    Ok(router_of(App::new(kakunin, clock, options, ended)?))
}

/// The API of what its handlers share.
pub(crate) fn router_of(app: App) -> Router {
    routes::all()
        .router
        .route(openapi::PATH, get(openapi::serve))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(app.clone(), frame))
        .with_state(app)
}
