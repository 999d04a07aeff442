//! Events as lines, for those who have much: sent for as long as they like, and answered line by line.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::service::Observed;
use serde::Serialize;
use utoipa::ToSchema;

use super::app::App;
use super::auth::Reporter;
use super::compat::event::EventBody;
use super::compat::recorded::Sent;
use super::error::{ApiError, ErrorBody};
use super::ingest::AsItComes;
use super::json;

const NDJSON: &str = "application/x-ndjson";

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

/// Records events that come one a line, each as `POST /events` takes it, for as long as they come; of any number. They are
/// read as fast as they become durable, and answered with a line each, in their order, once they are on disk. Read the
/// answers while you send: who does not is cut after 20 s. A line that is refused costs nothing but itself. Nothing for
/// 60 s ends the stream; so do the end of the server and of the API key. A line has 64 KiB at the most.
///
/// The last line has `end`, and says how many lines were read. After an answer without one, go on behind the last line that was
/// answered, and give events a `client_id` or `stream`, so that none is recorded twice.
#[utoipa::path(
    operation_id = "streamEvents",
    post, path = "/api/v1/events/stream", tag = "events",
    request_body(content = EventBody, content_type = "application/x-ndjson", description = "Events, one a line."),
    responses(
        (status = 200, description = "A line for each event, `EventLine`, and the last one, `EndLine`.",
            content((EventLine = "application/x-ndjson"))),
        (status = 503, description = "`ingest_full`: as many streams as a tenant has, or this server takes.", body = ErrorBody),
        (status = "4XX", description = "Refused; nothing was read.", body = ErrorBody),
    ),
)]
pub(crate) async fn stream(
    State(app): State<App>,
    Reporter(caller): Reporter,
    request: Request,
) -> Result<Response, ApiError> {
    check_type(request.headers())?;
    let as_it_comes = request.extensions().get::<AsItComes>().cloned().unwrap_or_default();
    let answers = app.ingests.begin(app.clone(), caller, request.into_body())?;
    as_it_comes.say();
    let mut response = Body::new(answers).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    // nginx would wait for a buffer to fill.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(NDJSON) {
        return json::check_coding(headers);
    }
    let sentence = "send `content-type: application/x-ndjson`, and an event a line";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", sentence))
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
