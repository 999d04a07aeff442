//! What `/metrics` shows.

use kakunin_core::log::record::CaRole;
use kakunin_core::log::record::Stage;
use kakunin_core::service::{Ending, RootCrlEnding, Tended};
use kakunin_core::time::{MINUTE, SECOND, UnixTime};

use super::app::App;
use super::dry_runs::DRY_RUNS;
use super::exposition::Exposition;
use super::{counts, following};
use crate::logging;

pub(super) async fn all(app: &App) -> String {
    let mut to = Exposition::default();
    lifecycle(app, &mut to);
    let room = app.kakunin.room().await;
    to.gauge("storage_full", "Whether the store has no room left.", u8::from(room.full));
    let reserve = "Room set aside in the store for what takes identities away.";
    to.gauge("storage_reserve_bytes", reserve, room.reserve);
    let waiting = app.kakunin.waiting().await;
    to.gauge("records_waiting", "Records that wait to be written, of all tenants.", waiting);
    let attempts = app.kakunin.webhook_figures();
    let help = "Attempts to deliver to webhooks that were taken.";
    to.counter("webhook_deliveries_total", help, attempts.delivered);
    let help = "Attempts to deliver to webhooks that failed, and are made again.";
    to.counter("webhook_failures_total", help, attempts.failed);
    following::write(&app.kakunin.followers(), &mut to);
    let help = "Whether this server does what one of several over a database is to do.";
    to.gauge("followers_on_duty", help, u8::from(app.kakunin.is_on_duty()));
    if let Some(silence) = app.kakunin.silence() {
        let help = "For how long the database was not heard; from 15 on nobody is let in.";
        to.gauge("database_silence_seconds", help, silence / SECOND);
    }
    decisions(app, &mut to).await;
    requests(app, &mut to);
    ends(app, &mut to);
    tls(app, &mut to);
    let lost = "Lines of the log that could not be written, or were not read in time.";
    to.counter("log_lines_lost_total", lost, logging::lines_lost());
    counts::write(&mut to);
    let dry_run = &app.options.insecure_dry_run;
    let help = "Tenants and routes whose requests are let through whatever is decided.";
    to.gauge("gateway_dry_runs", help, dry_run.tenants().len() + dry_run.routes().len());
    DRY_RUNS.write(&mut to);
    to.into_text()
}

fn lifecycle(app: &App, to: &mut Exposition) {
    let kakunin = &app.kakunin;
    let (Tended { left, failing, .. }, crls) = (kakunin.tended(), kakunin.publishing());
    let revoked = kakunin.revoked_authorities().len();
    to.gauge("authorities_revoked", "Issuing CAs in use that their root has revoked.", revoked);
    to.gauge("key_tasks_left", "Keys that are yet to be disabled, enabled or deleted.", left);
    to.gauge("key_tasks_failing", "Tenants whose last attempt to do so failed.", failing);
    to.gauge("crls_left", "CRLs that lack a revocation.", crls.left);
    to.gauge("crls_failing", "Issuing CAs whose last attempt to publish failed.", crls.failing.len());
    to.gauge("crls_refused", "CRLs that would take back what the last one said.", crls.refused.len());
    let ending = root_crls_ending(app);
    to.gauge("root_crls_ending", "CRLs of roots in use that cannot be made, or end soon.", ending);
    let damage = kakunin.damage().count;
    to.gauge("damage_found", "What was found in the store that this server did not write.", damage);
    let ahead = "By how much the time of the log is ahead of the clock.";
    to.gauge("log_ahead_seconds", ahead, kakunin.log_ahead() / SECOND);
    let beyond = "By how much the clock is ahead of what can be right, so that the log does not believe it.";
    to.gauge("clock_disbelieved_seconds", beyond, kakunin.clock_disbelieved().div_ceil(SECOND));
}

/// What waits for people. A tenant that cannot be read now is in neither.
async fn decisions(app: &App, to: &mut Exposition) {
    let (mut tripped, mut waiting) = (0_usize, 0_usize);
    for tenant in app.kakunin.tenants().await {
        let tenant = app.kakunin.tenant(&tenant);
        tripped += usize::from(tenant.tripped().await.is_ok_and(|tripped| tripped.is_some()));
        waiting += tenant.waiting().await.map_or(0, |orders| orders.len());
    }
    to.gauge("breakers_tripped", "Tenants whose breaker holds identities until a person looks.", tripped);
    to.gauge("approvals_waiting", "Orders that wait for a second person.", waiting);
}

fn requests(app: &App, to: &mut Exposition) {
    let nonces = app.gateway.nonces.figures();
    to.gauge("nonces_held", "Nonces of signed requests that may still come again.", nonces.held);
    let exposed = "Files with secrets of this server that others can read.";
    to.gauge("files_exposed", exposed, app.surroundings.exposed());
    let full = "Whether an agent or tenant made too many signed requests within a minute.";
    to.gauge("possession_share_full", full, u8::from(share_is_full(app)));
    let refused = "Signed requests that were refused because a share was full.";
    to.counter("possession_refused_total", refused, nonces.refused);
}

pub(super) fn root_crls_ending(app: &App) -> usize {
    let bad = |crl: &RootCrlEnding| crl.failing || crl.stage >= Stage::Urgent;
    app.kakunin.root_crl_endings().iter().filter(|crl| bad(crl)).count()
}

pub(super) fn share_is_full(app: &App) -> bool {
    let last = app.gateway.nonces.figures().last_refused;
    last.is_some_and(|last| app.now().millis().abs_diff(last.millis()) < MINUTE)
}

/// How the TLS pair stands, if there is one.
fn tls(app: &App, to: &mut Exposition) {
    let Some(pair) = app.surroundings.pair() else { return };
    let ends = "Seconds until the TLS certificate ends; negative afterwards.";
    to.gauge("tls_expires_seconds", ends, left(app.now(), pair.not_after));
    let names = "Whether the TLS certificate is for the host of the public URL.";
    to.gauge("tls_names_public_url", names, u8::from(pair.names_us));
}

/// Seconds until then, or since then with a minus.
fn left(now: UnixTime, end: UnixTime) -> String {
    let sign = if now > end { "-" } else { "" };
    format!("{sign}{}", now.millis().abs_diff(end.millis()) / SECOND)
}

/// When the authorities in use end.
fn ends(app: &App, to: &mut Exposition) {
    let now = app.now();
    let one = |Ending { issuer, role, not_after, .. }: Ending| {
        let role = match role {
            CaRole::Root => "root",
            CaRole::Issuing => "issuing",
        };
        (format!("issuer=\"{issuer}\",role=\"{role}\""), left(now, not_after))
    };
    let help = "Seconds until a certificate authority in use ends; negative afterwards.";
    to.gauges("ca_expires_seconds", help, app.kakunin.endings().into_iter().map(one));
}
