//! Who calls. Each handler names the role it needs in its arguments.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use kakunin_core::access::Role;
use kakunin_core::event::ShortName;
use kakunin_core::service::Kakunin;

use super::app::App;
pub(crate) use super::caller::Caller;
use super::error::ApiError;
use super::peer::client_address;

impl Caller {
    /// The deployment, as this caller: what it orders is recorded under its name.
    pub(crate) fn kakunin(&self, app: &App) -> Kakunin {
        match ShortName::try_from(format!("key:{}", self.facts.id)) {
            Ok(name) => app.kakunin.acting_as(name),
            Err(_) => app.kakunin.clone(),
        }
    }

    /// The key in the request, if there is one: a wrong one is refused, none is not.
    pub(crate) fn presented(parts: &Parts, app: &App) -> Result<Option<Self>, ApiError> {
        let shown = Self::shown(parts, app);
        if shown.as_ref().is_err_and(ApiError::is_unauthorized) {
            app.limits.stranger(client_address(parts, &app.options.trusted_proxies))?;
        }
        shown
    }

    /// The same, for whoever counts by itself what strangers get wrong.
    pub(super) fn shown(parts: &Parts, app: &App) -> Result<Option<Self>, ApiError> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Ok(None);
        };
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        // Which keys were revoked since elsewhere is not known.
        app.kakunin.in_touch()?;
        match token.and_then(|token| app.kakunin.authenticate(token)) {
            Some(facts) => {
                app.limits.key(&facts.id)?;
                Ok(Some(Self { facts }))
            }
            None => {
                let sentence = "this key is not known here, was revoked, or has expired; make another";
                Err(ApiError::key_invalid(sentence))
            }
        }
    }

    fn with_role(parts: &Parts, app: &App, needed: Role) -> Result<Self, ApiError> {
        let Some(caller) = Self::presented(parts, app)? else {
            app.limits.stranger(client_address(parts, &app.options.trusted_proxies))?;
            return Err(key_missing());
        };
        if caller.facts.role >= needed { Ok(caller) } else { Err(ApiError::role(needed)) }
    }
}

pub(crate) fn key_missing() -> ApiError {
    ApiError::unauthorized("api_key_missing", "send `authorization: Bearer <API key>`")
}

macro_rules! caller_with_role {
    ($($(#[$doc:meta])* $name:ident),+) => {$(
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) Caller);

        impl FromRequestParts<App> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
                Caller::with_role(parts, app, Role::$name).map(Self)
            }
        }
    )+};
}

caller_with_role!(
    /// May read.
    Reader,
    /// May report events.
    Reporter,
    /// May register, certify, revoke.
    Operator,
    /// May make tenants, and keys of every tenant.
    Admin
);
