//! Whether the process lives, and whether it can do its work.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::time::{SECOND, UnixTime};
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::error::ErrorBody;

/// When store and keys were last seen to work.
#[derive(Debug, Default)]
pub(crate) struct Ready(AtomicU64);

impl Ready {
    fn lately(&self, now: UnixTime) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        last > 0 && now.millis().abs_diff(last) < SECOND
    }

    fn confirmed(&self, now: UnixTime) {
        self.0.store(now.millis(), Ordering::Relaxed);
    }
}

/// Health.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
    version: &'static str,
}

const OK: Health = Health { status: "ok", version: env!("CARGO_PKG_VERSION") };

/// The process answers.
#[utoipa::path(
    operation_id = "getLiveness",
    get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "It answers.", body = Health),
        (status = "4XX", description = "Refused.", body = ErrorBody)),
)]
pub(crate) async fn live() -> Response {
    axum::Json(OK).into_response()
}

/// Store and keys can be used: certificates can be issued and events recorded.
#[utoipa::path(
    operation_id = "getReadiness",
    get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "It can work.", body = Health),
        (status = 503, description = "It cannot; its log says why.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody)),
)]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    // Asking keys to sign costs; strangers may ask, and within a second they get the same answer.
    if app.ready.lately(app.now()) {
        return axum::Json(OK).into_response();
    }
    match app.kakunin.check().await {
        Ok(()) => {
            app.ready.confirmed(app.now());
            axum::Json(OK).into_response()
        }
        Err(error) => {
            let mut refusal = super::error::ApiError::from(error).into_response();
            *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            refusal
        }
    }
}
