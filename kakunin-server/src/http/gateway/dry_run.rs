//! A dry run at the check: what would be refused is decided and recorded as if it were, told, and let through.
//!
//! Refused even so: what nobody could decide or put on record; what can be read in more than one way; and what says that it
//! is somebody's whom it did not show, as the service behind could believe that.

use axum::http::{HeaderMap, HeaderValue};
use kakunin_core::id::TenantId;
use kakunin_verify::VerifiedAgent;
use kakunin_verify::dry_run::{claims_another, is_about_what_is_asked};

use super::refusal::Refused;
use super::target::Route;
use crate::http::app::App;
use crate::http::dry_runs::DRY_RUNS;
use crate::http::error::ApiError;
use crate::http::request_id::{RequestId, current};

/// Says to whoever asks that this yes would be a no.
pub(super) const DRY_RUN_HEADER: &str = "x-kakunin-dry-run";

/// What decides whether one request is of a dry run.
pub(super) struct DryRunOf<'a> {
    app: &'a App,
    headers: &'a HeaderMap,
    route: Route<'a>,
    /// Whose gateway asks, where it is one tenant's.
    asker: Option<&'a TenantId>,
}

/// A refusal that is let through.
pub(super) struct WouldDeny {
    pub(super) error: Box<ApiError>,
    /// Index of the decision in the log, if it is one that stands there.
    pub(super) index: Option<u64>,
    shown: Option<VerifiedAgent>,
}

impl<'a> DryRunOf<'a> {
    pub(super) const fn new(app: &'a App, headers: &'a HeaderMap, route: Route<'a>) -> Self {
        Self { app, headers, route, asker: None }
    }

    /// Asked by this tenant's gateway: another tenant's dry run opens nothing behind it.
    pub(super) const fn asked_by(mut self, asker: Option<&'a TenantId>) -> Self {
        self.asker = asker;
        self
    }

    /// Whether a refusal is let through, of a request that was shown to be this agent's, or nobody's.
    pub(super) fn spares(&self, shown: Option<&VerifiedAgent>) -> bool {
        let dry_run = &self.app.options.insecure_dry_run;
        if dry_run.is_off() || !self.route.is_plain() {
            return false;
        }
        let own = |agent: &VerifiedAgent| self.asker.is_none_or(|asker| asker == agent.tenant());
        let of_tenant = shown.is_some_and(|agent| own(agent) && dry_run.of_tenant(agent.tenant()));
        (of_tenant || self.route.is_of(dry_run)) && !claims_another(self.headers, shown)
    }

    /// Counts and tells of a refusal that is let through, or gives it back.
    pub(super) fn let_through(&self, refused: Refused) -> Result<WouldDeny, ApiError> {
        let Refused { error, shown, index, stays } = refused;
        if stays || !self.spares(shown.as_ref()) {
            return Err(*error);
        }
        let code = error.code();
        if let Some(left_out) = DRY_RUNS.count(code, shown.as_ref().map(|agent| *agent.agent())) {
            let (method, path) = self.route.first();
            let (tenant, agent) = shown.as_ref().map(|agent| (agent.tenant(), agent.agent())).unzip();
            let request_id = current();
            tracing::warn!(
                code,
                tenant = tenant.map(tracing::field::display),
                agent = agent.map(tracing::field::display),
                method,
                path,
                left_out,
                request_id = request_id.as_ref().map(RequestId::as_str),
                "a dry run lets through what would be refused"
            );
        }
        Ok(WouldDeny { shown, index, error })
    }
}

impl WouldDeny {
    /// Whose request it is, where that was shown by a certificate that stands, and it is what is asked for that would be
    /// refused: nobody else's name is passed on.
    pub(super) fn agent(&self, app: &App) -> Option<&VerifiedAgent> {
        let named = |agent: &&VerifiedAgent| {
            is_about_what_is_asked(self.error.code()) && agent.recheck(app.now()).is_ok()
        };
        self.shown.as_ref().filter(named)
    }

    /// `would-deny; code=scope_violation`
    pub(super) fn header(&self) -> [(&'static str, HeaderValue); 1] {
        let value = HeaderValue::from_str(&format!("would-deny; code={}", self.error.code()));
        [(DRY_RUN_HEADER, value.unwrap_or(HeaderValue::from_static("would-deny")))]
    }
}
