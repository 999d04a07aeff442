//! Members of an event, read one by one: each is told of by its name.

use axum::http::StatusCode;
use kakunin_core::agent::AgentError;
use kakunin_core::event::{Name, ShortName};
use kakunin_core::scope::Action;
use kakunin_core::text::check_prose;
use kakunin_core::time::UnixTime;

use super::error::ApiError;
use super::text::shown;

pub(crate) fn action(text: &str) -> Result<Action, ApiError> {
    text.parse().map_err(|error| ApiError::from(AgentError::from(error)).about("action"))
}

pub(crate) fn name(what: &'static str, text: Option<String>) -> Result<Option<Name>, ApiError> {
    seen(what, text.as_deref())?;
    let invalid = unfit("name_invalid", what, text.as_ref().map_or(0, String::len));
    text.map(|text| Name::try_from(text).map_err(invalid)).transpose()
}

/// A member with a text that does not fit.
pub(crate) fn unfit(code: &'static str, what: &'static str, length: usize) -> impl Fn(&str) -> ApiError {
    move |why| ApiError::unprocessable(code, format!("`{what}` has {length} bytes: {why}")).about(what)
}

/// A member that names somebody or something of others, or of nobody: that is all the same.
pub(crate) fn no_such(what: &str, field: &'static str, text: &str, instead: &str) -> ApiError {
    let sentence = format!("`{field}`: no such {what}, `{}`; send {instead}", shown(text));
    ApiError::new(StatusCode::NOT_FOUND, "not_found", sentence).about(field)
}

// What people read in lists: it may be long and odd, but not other than it looks.
fn seen(what: &'static str, text: Option<&str>) -> Result<(), ApiError> {
    let invalid = |error| ApiError::unprocessable("name_invalid", format!("`{what}`: {error}")).about(what);
    text.map_or(Ok(()), check_prose).map_err(invalid)
}

/// A name that stands in the leaf.
pub(crate) fn short(what: &'static str, text: Option<String>) -> Result<Option<ShortName>, ApiError> {
    seen(what, text.as_deref())?;
    let invalid = unfit("name_invalid", what, text.as_ref().map_or(0, String::len));
    text.map(|text| ShortName::try_from(text).map_err(invalid)).transpose()
}

pub(crate) fn time(text: &str) -> Result<UnixTime, ApiError> {
    let invalid = || {
        let sentence = format!(
            "`occurred_at` is `{}`: write RFC 3339, such as 2026-11-23T08:00:00Z or with +01:00",
            shown(text)
        );
        ApiError::unprocessable("time_invalid", sentence).about("occurred_at")
    };
    UnixTime::from_rfc3339(text).ok_or_else(invalid)
}
