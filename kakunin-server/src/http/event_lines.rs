//! Events as lines, for those who have much: sent for as long as they like, and answered line by line.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::auth::Reporter;
use super::compat::event::EventBody;
use super::error::{ApiError, ErrorBody};
use super::ingest;
use super::ingests::AsItComes;
use super::json;
use super::line_answers::EventLine;

const NDJSON: &str = "application/x-ndjson";

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
    let answers = ingest::begin(&app, caller, request.into_body())?;
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
