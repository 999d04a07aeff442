//! Why an identity is taken away, as callers say it.

use kakunin_core::agent::Note;
use kakunin_core::reason::{ReasonError, cause};
use kakunin_core::revoke::{Cause, Said};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::http::error::ApiError;
use crate::http::json::Free;

/// Words that revoke for good. Case, `_` and `-` do not matter; the pattern says the usual spellings.
const WORDS: &str = "unspecified|key_?[cC]ompromise|c_?[aA]_?[cC]ompromise|affiliation_?[cC]hanged|[sS]uperseded|cessation_?[oO]f_?[oO]peration|privilege_?[wW]ithdrawn|operator_initiated|kill_switch_activated|regulatory_order|risk_threshold_exceeded";

/// A word of RFC 5280, 5.3.1, or its number, or a word of this API.
pub(crate) fn to_revoke() -> Schema {
    one_of(&format!("^({WORDS}|certificate_?[hH]old|[0-69])$"), 6).build().into()
}

/// The same without a hold, and with a sentence, which has a blank in it; or nothing.
pub(crate) fn to_stop() -> Schema {
    let sentence =
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"\S\s+\S")).max_length(Some(500));
    let none = ObjectBuilder::new().schema_type(Type::Null);
    one_of(&format!("^({WORDS}|[0-59])$"), 5).item(sentence).item(none).build().into()
}

fn one_of(pattern: &str, last: u8) -> OneOfBuilder {
    let word = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    let code = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0_u8)).maximum(Some(last));
    let said = "A word, or its number in RFC 5280, as a number or in digits. 7, 8 and 10 revoke nothing of an agent's.";
    OneOfBuilder::new().item(word).item(code).description(Some(said))
}

/// A reason that is understood, and how it was sent.
pub(crate) struct Reason {
    pub(crate) cause: Cause,
    pub(crate) sent: Option<Note>,
}

/// A reason as it stands in a body: a text or a number.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct RawReason(Free);

/// A reason that is there: `null` is none that is understood, and whoever sends none leaves the member out.
pub(crate) fn given<'de, D: Deserializer<'de>>(member: D) -> Result<Option<RawReason>, D::Error> {
    RawReason::deserialize(member).map(Some)
}

impl RawReason {
    /// The text, or the digits of the number.
    pub(crate) fn text(&self) -> Result<Note, ApiError> {
        let text = match &self.0.0 {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(invalid(ReasonError::Unknown)),
        };
        let length = text.chars().count();
        if !(1..=500).contains(&length) {
            let sentence = format!("`reason` has {length} characters: write 1 to 500");
            return Err(ApiError::unprocessable("reason_invalid", sentence).about("reason"));
        }
        Ok(Note::try_from(text)?)
    }

    /// The cause that it says. A whole number may be written as `4.0` (JSON Schema, `integer`).
    pub(crate) fn cause(&self) -> Result<Cause, ReasonError> {
        match &self.0.0 {
            Value::String(text) => cause(text),
            Value::Number(number) => {
                let whole = number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..=255.0).contains(n));
                cause(&whole.map(|n| format!("{n:.0}")).unwrap_or_default())
            }
            _ => Err(ReasonError::Unknown),
        }
    }

    /// What it says.
    pub(crate) fn understood(&self) -> Result<Reason, ApiError> {
        let sent = self.text()?;
        Ok(Reason { cause: self.cause().map_err(invalid)?, sent: Some(sent) })
    }
}

impl Reason {
    /// Nobody gave one.
    pub(crate) const NONE: Self = Self { cause: Cause::OperatorInitiated, sent: None };

    /// As it goes on record.
    pub(crate) fn said(self, note: Option<Note>) -> Said {
        Said { reason: self.sent, note }
    }
}

pub(crate) fn invalid(error: ReasonError) -> ApiError {
    ApiError::unprocessable(error.code(), format!("`reason`: {error}")).about("reason")
}
