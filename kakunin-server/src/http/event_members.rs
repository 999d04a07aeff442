//! Members of an event, read one by one: each is told of by its name.

use axum::http::StatusCode;
use kakunin_core::agent::AgentError;
use kakunin_core::event::{Amount, Name, ShortName};
use kakunin_core::scope::Action;
use kakunin_core::text::{check_prose, visible};
use kakunin_core::time::UnixTime;
use serde_json::Value;

use super::error::ApiError;

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

/// The beginning of a text that somebody sent, as it can be shown.
pub(crate) fn shown(text: &str) -> String {
    visible(&text.chars().take(64).collect::<String>()).into_owned()
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

// Dollars with at most two decimals that a double holds exactly; anything else is no amount.
pub(crate) fn dollars(details: &Value) -> Option<Amount> {
    let currency = "USD".to_owned().try_into().ok()?;
    let text = details.get("amount_usd")?.to_string();
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "0"));
    let cents: u64 = format!("{cents:0<2}").get(..2)?.parse().ok()?;
    let minor = whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents)?;
    Some(Amount { minor, currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_cents() {
        let minor = |json: &str| dollars(&serde_json::from_str(json).unwrap()).map(|a| a.minor);
        assert_eq!(minor(r#"{"amount_usd":12}"#), Some(1_200));
        assert_eq!(minor(r#"{"amount_usd":12.5}"#), Some(1_250));
        assert_eq!(minor(r#"{"amount_usd":0.07}"#), Some(7));
        for none in [r#"{"amount_usd":-1}"#, r#"{"amount_usd":"12"}"#, r#"{"amount_usd":1e300}"#, "{}", "[]"]
        {
            assert_eq!(minor(none), None, "{none}");
        }
    }
}
