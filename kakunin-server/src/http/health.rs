//! Whether the process lives, and whether it can do its work.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::log::record::Stage;
use kakunin_core::service::Tended;
use kakunin_core::time::SECOND;
use serde::Serialize;
use utoipa::ToSchema;

use super::anonymous;
use super::app::App;
use super::error::ErrorBody;
use super::figures::{self, root_crls_ending, share_is_full};
use super::following::{self, Following};
use super::surroundings::Standing;
use crate::logging;

/// Health.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`
    status: &'static str,
    version: &'static str,
}

/// Seconds after which an operator should know that the database was not heard: it is asked every second.
const SILENT: u64 = 5;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Readiness.
#[derive(Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ok`, or `degraded` while there are `reasons`, or since somebody else wrote to the store: certificates are verified and
    /// refused all the same.
    status: &'static str,
    /// Why it is degraded, as codes that stay: the key provider cannot be told what was decided (`key_tasks_failing`), the CA
    /// cannot sign (`signing`), ends soon (`authority_ending`) or was revoked by its root (`authority_revoked`), a CRL
    /// cannot be published (`crls_failing`, `crls_refused`) or that of a root ends soon or cannot be made
    /// (`root_crls_ending`), something else that follows the logs fails (`followers_failing`; see `followers`), the log's
    /// time is ahead of the clock (`log_ahead`), the clock is further ahead of the last record than can be right
    /// (`clock_disbelieved`), somebody else wrote to the store (`damage_found`), the store has no room
    /// left (`storage_full`), the TLS certificate ends soon or is not valid (`tls_certificate`), the server cannot
    /// write its log (`log_not_written`), or the database that it shares with others was not heard for more than 5 seconds
    /// (`database_silent`).
    reasons: Vec<&'static str>,
    version: &'static str,
    /// Whether the CA signs: it is valid now, its root has not revoked it, and its key can be used.
    signing: bool,
    /// Authorities in use that end within 30 days, or within a thirtieth of their life if that is shorter, or have
    /// ended: those that issue, and the roots above them.
    authorities_ending: usize,
    /// Issuing CAs in use that their root's CRL names: they issue nothing, and nobody accepts what they issued.
    authorities_revoked: usize,
    /// When the first authority in use ends.
    #[schema(format = DateTime)]
    authority_ends: Option<String>,
    /// By how many seconds the time of the log is ahead of the clock, which is behind or was ahead; 0 below a minute.
    log_ahead_seconds: u64,
    /// By how many seconds the clock is ahead of what can be right, so that the log goes on without it; 0 if it is believed.
    /// Put it right, or start once with `--believe-clock`.
    clock_disbelieved_seconds: u64,
    /// Keys that are yet to be disabled, enabled or deleted.
    key_tasks_left: usize,
    /// Tenants whose last attempt to do so failed.
    key_tasks_failing: usize,
    /// CRLs that lack a revocation; for a moment after each there is one.
    crls_left: usize,
    /// Issuing CAs whose last attempt to publish failed.
    crls_failing: usize,
    /// CRLs of roots in use that cannot be made, or, under an offline root, end soon or have ended: who checks whole
    /// chains refuses every agent then.
    root_crls_ending: usize,
    /// CRLs that are not published because they would take back what the last one said.
    crls_refused: usize,
    /// What was found in the store, since the start, that this server did not write; its log names it.
    damage_found: u64,
    /// Whether the store has no room left: identities are taken away as before, and nothing else is recorded.
    storage_full: bool,
    /// Octets that are set aside in the store for that.
    storage_reserve: u64,
    /// Whether within the last minute signed requests were refused because an agent or its tenant made too many. Others
    /// are served.
    possession_share_full: bool,
    /// When the TLS certificate of this server ends, or the first of those that it is sent with.
    #[schema(format = DateTime)]
    tls_ends: Option<String>,
    /// `good`, `ending` (less than two weeks and a sixth of its life are left), `not_yet_valid` or `expired`.
    tls_status: Option<&'static str>,
    /// Whether the server's own log is written: the last line was neither lost nor left out.
    log_written: bool,
    /// What follows the logs, and how each of it stands.
    followers: Vec<Following>,
    /// Whether this server does what one of several over a database is to do: exactly one does. True where there is only one.
    on_duty: bool,
    /// For how many seconds the database was not heard, which several servers share; nothing in a folder. From 15 on nothing is
    /// decided or read, for trust may have been taken away elsewhere.
    database_silence_seconds: Option<u64>,
}

async fn readiness(app: &App, signing: bool) -> Response {
    let Tended { left, failing, .. } = app.kakunin.tended();
    let crls = app.kakunin.publishing();
    let followers = app.kakunin.followers();
    let endings = app.kakunin.endings();
    let urgent = endings.iter().filter(|ending| ending.stage >= Stage::Urgent).count();
    let log_ahead_seconds = app.kakunin.log_ahead() / SECOND;
    let clock_disbelieved_seconds = app.kakunin.clock_disbelieved().div_ceil(SECOND);
    let damage_found = app.kakunin.damage().count;
    let authorities_revoked = app.kakunin.revoked_authorities().len();
    let root_crls_ending = root_crls_ending(app);
    let pair = app.surroundings.pair();
    let standing = pair.map(|pair| pair.standing(app.now()));
    let log_written = logging::is_written();
    let room = app.kakunin.room().await;
    let database_silence_seconds = app.kakunin.silence().map(|silence| silence / SECOND);
    let found = [
        (failing > 0, "key_tasks_failing"),
        (!signing, "signing"),
        (urgent > 0, "authority_ending"),
        (authorities_revoked > 0, "authority_revoked"),
        (!crls.failing.is_empty(), "crls_failing"),
        (!crls.refused.is_empty(), "crls_refused"),
        (root_crls_ending > 0, "root_crls_ending"),
        (log_ahead_seconds > 0, "log_ahead"),
        (clock_disbelieved_seconds > 0, "clock_disbelieved"),
        (damage_found > 0, "damage_found"),
        (room.full, "storage_full"),
        (standing.is_some_and(|standing| standing != Standing::Good), "tls_certificate"),
        (!log_written, "log_not_written"),
        (database_silence_seconds.is_some_and(|seconds| seconds > SILENT), "database_silent"),
    ];
    let found = found.into_iter().filter_map(|(is, reason)| is.then_some(reason));
    let reasons = each_once(found.chain(following::reasons(&followers)));
    let body = Readiness {
        status: if reasons.is_empty() { "ok" } else { "degraded" },
        reasons,
        version: VERSION,
        signing,
        authorities_ending: urgent,
        authorities_revoked,
        authority_ends: endings.first().map(|first| first.not_after.to_string()),
        log_ahead_seconds,
        clock_disbelieved_seconds,
        key_tasks_left: left,
        key_tasks_failing: failing,
        crls_left: crls.left,
        crls_failing: crls.failing.len(),
        root_crls_ending,
        crls_refused: crls.refused.len(),
        damage_found,
        storage_full: room.full,
        storage_reserve: room.reserve,
        possession_share_full: share_is_full(app),
        tls_ends: pair.map(|pair| pair.not_after.to_string()),
        tls_status: standing.map(word_for),
        log_written,
        followers: followers.iter().map(Following::from).collect(),
        on_duty: app.kakunin.is_on_duty(),
        database_silence_seconds,
    };
    axum::Json(body).into_response()
}

fn each_once(all: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut once = Vec::new();
    all.for_each(|reason| {
        if !once.contains(&reason) {
            once.push(reason);
        }
    });
    once
}

const fn word_for(standing: Standing) -> &'static str {
    match standing {
        Standing::Good => "good",
        Standing::Ending => "ending",
        Standing::NotYetValid => "not_yet_valid",
        Standing::Expired => "expired",
    }
}

/// Figures for Prometheus, in its text format.
#[utoipa::path(
    operation_id = "getMetrics",
    get, path = "/metrics", tag = "health", security(()),
    responses((status = 200, description = "Figures.", body = String, content_type = "text/plain"),
        (status = "4XX", description = "Refused.", body = ErrorBody)),
)]
pub(crate) async fn metrics(State(app): State<App>, _: anonymous::Health) -> Response {
    let text = figures::all(&app).await;
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
    match app.ready.look(&app.kakunin, &*app.clock).await {
        Ok(signing) => readiness(&app, signing).await,
        Err(refusal) => {
            let mut refusal = refusal.into_response();
            *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            refusal
        }
    }
}
