//! Members of an event, read one by one: each is told of by its name.

use std::fmt;
use std::ops::RangeInclusive;

use axum::http::StatusCode;
use kakunin_core::agent::AgentError;
use kakunin_core::event::{Name, ShortName};
use kakunin_core::ijson;
use kakunin_core::scope::Action;
use kakunin_core::text::check_prose;
use kakunin_core::time::UnixTime;
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};
use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, OneOf, Schema, Type};

use super::error::ApiError;
use super::json::Free;
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

/// When an event happened, as it is reported: a text, or what an [`Event`](kakunin_core::event::Event) is written with.
pub(crate) enum Moment {
    Text(String),
    Millis(UnixTime),
}

/// 2000-01-01: what is less was meant as seconds.
const EARLIEST: u64 = 946_684_800_000;
/// The last of 2099.
const LATEST: u64 = 4_102_444_799_999;
/// Times that may be written as milliseconds.
pub(crate) const EVENT_TIMES: RangeInclusive<u64> = EARLIEST..=LATEST;

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reads;

        impl Visitor<'_> for Reads {
            type Value = Moment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "RFC 3339, such as 2026-11-23T08:00:00Z, or milliseconds since 1970, from 2000 on",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
                Ok(Moment::Text(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Moment, E> {
                let invalid = || E::invalid_value(Unexpected::Unsigned(millis), &Self);
                let time = EVENT_TIMES.contains(&millis).then(|| UnixTime::from_millis(millis));
                time.map(Moment::Millis).ok_or_else(invalid)
            }

            // A whole number may also be written as `2.0` or `2e3` (JSON Schema, `integer`).
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Moment, E> {
                let whole = (number.fract() == 0.0).then(|| format!("{number:.0}").parse().ok()).flatten();
                let invalid = || E::invalid_value(Unexpected::Float(number), &Self);
                whole.map_or_else(|| Err(invalid()), |millis| self.visit_u64(millis))
            }
        }

        reader.deserialize_any(Reads)
    }
}

impl Moment {
    pub(crate) fn time(self) -> Result<UnixTime, ApiError> {
        let text = match self {
            Self::Millis(time) => return Ok(time),
            Self::Text(text) => text,
        };
        let invalid = || {
            let sentence = format!(
                "`occurred_at` is `{}`: write RFC 3339, such as 2026-11-23T08:00:00Z or with +01:00",
                shown(&text)
            );
            ApiError::unprocessable("time_invalid", sentence).about("occurred_at")
        };
        UnixTime::from_rfc3339(&text).ok_or_else(invalid)
    }
}

/// How RFC 3339 is described, for this century.
pub(crate) const RFC3339: &str = r"^20([0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([02468][048]|[13579][26])-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// How [`Moment`] is described.
pub(crate) fn moment_schema() -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(RFC3339)).build();
    let millis =
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(EARLIEST)).maximum(Some(LATEST)).build();
    let none = ObjectBuilder::new().schema_type(Type::Null);
    let what = "When it happened, by the reporter's clock: a text, or milliseconds since 1970, from 2000 on.";
    OneOf::builder().item(text).item(millis).item(none).description(Some(what)).build().into()
}

/// The text of details: of a text itself, as an [`Event`](kakunin_core::event::Event) is written with it; of anything else
/// its one spelling.
pub(crate) fn text(free: Free) -> Result<String, ApiError> {
    match free.0 {
        Value::String(text) if !text.is_empty() && !text.contains('\0') => match ijson::check(&text) {
            Err(error) if error.is_json() => Err(error.into()),
            _ => Ok(text),
        },
        other => Free(other).canonical(),
    }
}
