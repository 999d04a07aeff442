//! What anybody may ask for, within the limit of an address. Each handler names its kind of work in its arguments, and
//! is reached, with a body read, only by who has something left of it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::app::App;
use super::error::ApiError;
use super::limits::Work;
use super::peer::client_address;

macro_rules! anonymous {
    ($($name:ident),+) => {$(
        pub(crate) struct $name;

        impl FromRequestParts<App> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
                let address = client_address(parts, &app.options.trusted_proxies);
                app.limits.work(Work::$name, address).map(|()| Self)
            }
        }
    )+};
}

anonymous!(Card, File, Health, Page, Stream, Snapshot, Message, Enrolment);
