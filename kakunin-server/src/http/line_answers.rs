//! What is said of events that came one a line.

use kakunin_core::service::Observed;
use serde::Serialize;
use utoipa::ToSchema;

use super::compat::recorded::Sent;
use super::error::ApiError;

/// What became of one line.
#[derive(Serialize, ToSchema)]
pub(super) struct EventLine<'a> {
    /// Which line, from 1.
    line: u64,
    /// Its index in the tenant's log; of a duplicate, that of the event that was recorded, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    /// `scored`, `unattributed`, `not_accepted`, `duplicate`; or `refused`, and it is not on record.
    status: &'static str,
    /// Whether this event took the identity away.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    revoked: bool,
    /// Whether it would have, and the breaker holds the identity instead.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    /// What is wrong, as a code that stays: why it is refused, or what of it was cut or left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Which member of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

/// The last line.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct EndLine {
    /// `complete`: all that was sent was read. `cut`: it was not, and `code` says why; what stands after line `lines` was
    /// not read. If this line is missing, whatever was not answered may be on record, or not.
    end: &'static str,
    /// Lines that were read, empty ones too.
    pub(super) lines: u64,
    /// Events that are on record now.
    pub(super) recorded: u64,
    /// Events that were before.
    pub(super) duplicates: u64,
    /// Lines that were refused.
    pub(super) refused: u64,
    /// Signed note (C2SP) over the tenant's log with all of them in it.
    checkpoint: Option<String>,
    /// Why there is no more, as a code that stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> EventLine<'a> {
    pub(super) fn of(line: u64, seen: &'a Result<(Sent, Observed), ApiError>) -> Self {
        let (index, status, revoked, held, wrong) = match seen {
            Ok((sent, seen)) => {
                (seen.index, seen.status.as_str(), seen.revoked, seen.held, sent.altered.as_ref())
            }
            Err(error) => (None, "refused", false, false, Some(error)),
        };
        let (code, error) = (wrong.map(ApiError::code), wrong.map(ApiError::sentence));
        Self { line, index, status, revoked, held, code, error, field: wrong.and_then(ApiError::field) }
    }
}

impl EndLine {
    pub(super) fn ended(self, error: Option<ApiError>, checkpoint: Option<String>) -> Self {
        Self {
            end: if error.is_some() { "cut" } else { "complete" },
            checkpoint,
            code: error.as_ref().map(|error| error.code().to_owned()),
            error: error.map(|error| error.sentence().to_owned()),
            ..self
        }
    }
}

/// Adds a line.
pub(super) fn written(to: &mut Vec<u8>, line: &impl Serialize) {
    let before = to.len();
    if let Err(error) = serde_json::to_writer(&mut *to, line) {
        tracing::error!(%error, "an answer does not encode");
        to.truncate(before);
    }
    to.push(b'\n');
}
