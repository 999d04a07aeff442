//! Who may read what was revoked: anybody, unless a tenant keeps it to itself. Then a key of that tenant is shown.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use kakunin_core::feed::Visibility;
use kakunin_core::id::IssuerId;
use kakunin_core::service::Reader;

use super::admitted::Admitted;
use super::app::App;
use super::auth::{Caller, key_missing};
use super::error::ApiError;
use super::peer::client_address;

const ANY_ORIGIN: HeaderValue = HeaderValue::from_static("*");

/// Whoever asks. A key that is wrong matters only where one is needed.
pub(crate) struct Viewer {
    presented: Result<Option<Caller>, ApiError>,
    address: IpAddr,
}

impl FromRequestParts<App> for Viewer {
    type Rejection = core::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let address = client_address(parts, &app.options.trusted_proxies);
        Ok(Self { presented: Caller::shown(parts, app), address })
    }
}

impl Viewer {
    /// Lets in who may read what this CA revoked. To others a CA of another tenant has revoked nothing.
    pub(crate) fn admit(self, app: &App, issuer: &IssuerId) -> Result<Admitted, ApiError> {
        let address = self.address;
        if app.kakunin.may_read_revocations(issuer, Reader::Anybody) {
            return Ok(Admitted { caller: self.presented.ok().flatten(), address });
        }
        let Some(caller) = self.known(app)? else {
            app.limits.stranger(address)?;
            return Err(key_missing());
        };
        if !app.kakunin.may_read_revocations(issuer, Reader::Of(caller.tenant())) {
            return Err(ApiError::not_found("issuing CA"));
        }
        Ok(Admitted { caller: Some(caller), address })
    }

    /// Lets everybody in to what each may read.
    pub(crate) fn admit_to_some(self, app: &App) -> Result<Admitted, ApiError> {
        let address = self.address;
        let private = app.kakunin.authorities().iter().any(|ca| ca.visibility == Visibility::Private);
        let caller = if private { self.known(app)? } else { None };
        Ok(Admitted { caller, address })
    }

    /// Who it is, where that matters: there a wrong key counts.
    fn known(self, app: &App) -> Result<Option<Caller>, ApiError> {
        if self.presented.is_err() {
            app.limits.stranger(self.address)?;
        }
        self.presented
    }
}

impl Admitted {
    /// Gives what was read of this CA, if it may still be read: whoever asked before the switch may have waited until
    /// after it. Says who may keep the answer: with `age` anybody, or nobody.
    pub(crate) fn publish(
        &self,
        app: &App,
        issuer: &IssuerId,
        response: Response,
        age: HeaderValue,
    ) -> Result<Response, ApiError> {
        if app.kakunin.may_read_revocations(issuer, Reader::Anybody) {
            return Ok(publish(response, age));
        }
        if self.still(&app.kakunin, issuer) { Ok(response) } else { Err(key_missing()) }
    }

    /// The same for what each may read a part of.
    pub(crate) fn publish_some(&self, response: Response, age: HeaderValue) -> Response {
        if self.caller.is_some() { response } else { publish(response, age) }
    }
}

/// Says that anybody may keep the answer, as `age` has it, and pages of any origin may read it.
pub(crate) fn publish(mut response: Response, age: HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, age);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY_ORIGIN);
    response
}
