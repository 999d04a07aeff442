//! What streams of server-sent events share: where one that was cut goes on, and what its answer says.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;

use super::error::ApiError;

const LAST_EVENT_ID: &str = "last-event-id";
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Where a stream that was cut had come to, if this is to go on with it.
pub(super) fn resumed(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let wrong =
        || ApiError::bad_request("cursor_malformed", "`Last-Event-ID` is the id of an event of this stream");
    let cursor =
        |value: &HeaderValue| value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(wrong);
    headers.get(LAST_EVENT_ID).map(cursor).transpose()
}

/// The answer, as one whose events are read while they come.
pub(super) fn streamed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENTS);
    // nginx would wait for a buffer to fill.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
