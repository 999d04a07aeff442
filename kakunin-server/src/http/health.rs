//! Whether the process lives, and whether it can do its work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::service::Tended;
use kakunin_core::time::{MINUTE, SECOND, UnixTime};
use serde::Serialize;
use utoipa::ToSchema;

use super::anonymous;
use super::app::App;
use super::counts;
use super::error::ErrorBody;

/// When store and keys were last seen to work.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    at: AtomicU64,
    signing: AtomicBool,
}

impl Ready {
    fn lately(&self, now: UnixTime) -> bool {
        let last = self.at.load(Ordering::Relaxed);
        last > 0 && now.millis().abs_diff(last) < SECOND
    }

    fn confirmed(&self, now: UnixTime, signing: bool) {
        self.signing.store(signing, Ordering::Relaxed);
        self.at.store(now.millis(), Ordering::Relaxed);
    }
}

/// Health.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
    version: &'static str,
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Readiness.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ok`, or `degraded` while the key provider cannot be told what was decided, the CA cannot sign, or a
    /// CRL cannot be published, or since somebody else wrote to the store: certificates are verified and
    /// refused all the same.
    status: &'static str,
    version: &'static str,
    /// Whether the CA signs: certificates and CRLs can be made.
    signing: bool,
    /// Keys that are yet to be disabled, enabled or deleted.
    key_tasks_left: usize,
    /// Tenants whose last attempt to do so failed.
    key_tasks_failing: usize,
    /// CRLs that lack a revocation; for a moment after each there is one.
    crls_left: usize,
    /// Issuing CAs whose last attempt to publish failed.
    crls_failing: usize,
    /// CRLs that are not published because they would take back what the last one said.
    crls_refused: usize,
    /// What was found in the store, since the start, that this server did not write; its log names it.
    damage_found: u64,
    /// Whether within the last minute signed requests were refused because an agent or its tenant made too many. Others
    /// are served.
    possession_share_full: bool,
}

fn readiness(app: &App) -> Response {
    let Tended { left, failing, .. } = app.kakunin.tended();
    let crls = app.kakunin.publishing();
    let signing = app.ready.signing.load(Ordering::Relaxed);
    let damage_found = app.kakunin.damage().count;
    let well =
        damage_found == 0 && failing == 0 && signing && crls.failing.is_empty() && crls.refused.is_empty();
    let body = Readiness {
        status: if well { "ok" } else { "degraded" },
        version: VERSION,
        signing,
        key_tasks_left: left,
        key_tasks_failing: failing,
        crls_left: crls.left,
        crls_failing: crls.failing.len(),
        crls_refused: crls.refused.len(),
        damage_found,
        possession_share_full: share_is_full(app),
    };
    axum::Json(body).into_response()
}

fn share_is_full(app: &App) -> bool {
    let last = app.gateway.nonces.figures().last_refused;
    last.is_some_and(|last| app.now().millis().abs_diff(last.millis()) < MINUTE)
}

/// Figures for Prometheus, in its text format.
#[utoipa::path(
    operation_id = "getMetrics",
    get, path = "/metrics", tag = "health", security(()),
    responses((status = 200, description = "Figures.", body = String, content_type = "text/plain"),
        (status = "4XX", description = "Refused.", body = ErrorBody)),
)]
pub(crate) async fn metrics(State(app): State<App>, _: anonymous::Health) -> Response {
    let Tended { left, failing, .. } = app.kakunin.tended();
    let crls = app.kakunin.publishing();
    let damage = usize::try_from(app.kakunin.damage().count).unwrap_or(usize::MAX);
    let nonces = app.gateway.nonces.figures();
    let gauges = [
        ("key_tasks_left", "Keys that are yet to be disabled, enabled or deleted.", left),
        ("key_tasks_failing", "Tenants whose last attempt to do so failed.", failing),
        ("crls_left", "CRLs that lack a revocation.", crls.left),
        ("crls_failing", "Issuing CAs whose last attempt to publish failed.", crls.failing.len()),
        ("crls_refused", "CRLs that would take back what the last one said.", crls.refused.len()),
        ("damage_found", "What was found in the store that this server did not write.", damage),
        ("nonces_held", "Nonces of signed requests that may still come again.", nonces.held),
        (
            "possession_share_full",
            "Whether an agent or tenant made too many signed requests within a minute.",
            usize::from(share_is_full(&app)),
        ),
    ];
    let gauge = |(name, help, value): (&str, &str, usize)| {
        format!("# HELP kakunin_{name} {help}\n# TYPE kakunin_{name} gauge\nkakunin_{name} {value}\n")
    };
    let refused = format!(
        "# HELP kakunin_possession_refused_total Signed requests that were refused because a share was full.\n\
         # TYPE kakunin_possession_refused_total counter\nkakunin_possession_refused_total {}\n",
        nonces.refused
    );
    let text: String = gauges.map(gauge).concat() + &refused + &counts::render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// The process answers.
#[utoipa::path(
    operation_id = "getLiveness",
    get, path = "/healthz", tag = "health", security(()),
    responses((status = 200, description = "It answers.", body = Health),
        (status = "4XX", description = "Refused.", body = ErrorBody)),
)]
pub(crate) async fn live() -> Response {
    axum::Json(Health { status: "ok", version: VERSION }).into_response()
}

/// The store and the log key can be used: events are recorded, certificates verified and refused.
#[utoipa::path(
    operation_id = "getReadiness",
    get, path = "/readyz", tag = "health", security(()),
    responses((status = 200, description = "It can work.", body = Readiness),
        (status = 503, description = "It cannot; its log says why.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody)),
)]
pub(crate) async fn ready(State(app): State<App>, _: anonymous::Health) -> Response {
    // Asking keys to sign costs; strangers may ask, and within a second they get the same answer.
    if app.ready.lately(app.now()) {
        return readiness(&app);
    }
    match app.kakunin.check().await {
        Ok(()) => {
            let signing = app.kakunin.check_signing().await;
            if let Err(error) = &signing {
                tracing::warn!(error = %super::chain(error), "the CA cannot sign");
            }
            app.ready.confirmed(app.now(), signing.is_ok());
            readiness(&app)
        }
        Err(error) => {
            let mut refusal = super::error::ApiError::from(error).into_response();
            *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            refusal
        }
    }
}
