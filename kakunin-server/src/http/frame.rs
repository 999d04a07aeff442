//! What every answer has in common: a name, a time limit, and refusals in one shape.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::compat::not_offered::not_offered;
use super::error::ApiError;
use super::failures::FAILURES;
use super::json::too_large;
use super::peer::client_of;
use super::preference::wants_problem;
use super::queries::takes_its_query;
use super::request_id::RequestId;
use super::routes::FORWARDED;

/// How long a request may take; making an RSA key in a slow KMS fits.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Names the request, bounds its time, and renders refusals, also those of the router itself. One layer for
/// all of it, because each costs allocations on the fast path.
pub(crate) async fn frame(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = RequestId::new();
    let address = client_of(request.headers(), request.extensions(), &app.options.trusted_proxies);
    let problem = wants_problem(request.headers());
    let gateway = is_gateway(&request);
    let told = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().path().to_owned(), Instant::now()));
    let elsewhere = not_offered(request.uri().path());
    let mut response = in_time(request, next, &id).await;
    if let Some((method, path, began)) = told {
        let (status, micros) = (response.status().as_u16(), began.elapsed().as_micros());
        tracing::debug!(request_id = id.as_str(), %method, path, status, micros, "request");
    }
    let refused =
        response.extensions_mut().remove::<ApiError>().or_else(|| routers_own(&response, elsewhere));
    if let Some(error) = refused {
        let error = if gateway { error.at_gateway() } else { error };
        if error.is_about_who_asks() {
            FAILURES.count(address, error.code(), Some(id.as_str()));
        }
        let allow = response.headers_mut().remove(header::ALLOW);
        response = error.render(id.as_str(), problem);
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
    }
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert("x-request-id", value);
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// A refusal of a request that got no further than its head.
pub(crate) fn refused(error: &ApiError) -> Response {
    error.render(RequestId::new().as_str(), false)
}

// Routes and methods that do not exist, bodies that are too long: axum answers those with plain text.
fn routers_own(response: &Response, elsewhere: Option<&'static str>) -> Option<ApiError> {
    let status = response.status();
    let ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if ours || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let (code, sentence) = match status {
        StatusCode::NOT_FOUND if elsewhere.is_some() => ("not_offered", elsewhere.unwrap_or_default()),
        StatusCode::NOT_FOUND => ("not_found", "no such resource; see /api/v1/openapi.json"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method_not_allowed", "not by this method; see the `Allow` header")
        }
        StatusCode::BAD_REQUEST => (
            "path_malformed",
            "a part of the path is no text in UTF-8, or not what stands there in /api/v1/openapi.json",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => return Some(too_large()),
        StatusCode::REQUEST_TIMEOUT => ("timeout", "the request took too long; send it again"),
        _ => ("refused", "the request is refused"),
    };
    Some(ApiError::new(status, code, sentence))
}

fn is_gateway(request: &Request) -> bool {
    request.uri().path().starts_with("/api/v1/gateway/")
}

/// Whether method, path and query are those of a gateway's client.
fn is_forwarded(request: &Request) -> bool {
    request.uri().path().starts_with(FORWARDED)
}

// The panic is in the log already.
fn failed() -> Response {
    ApiError::internal().into_response()
}

/// What the server as a whole can do; and what gateways may ask with, whose method is their client's.
const ANY_METHOD: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS");

/// Puts right what is known once the router has answered. Says which methods there are, to whoever asks for that (RFC 9110,
/// 9.3.7) or used another; what answers OPTIONS itself, or is not there, stays as it is. 304 has no length of its own.
pub(crate) fn finished(asked: &Method, mut response: Response) -> Response {
    if response.status() == StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).and_then(|allow| allow.to_str().ok());
    let allow = allow.filter(|allow| !allow.contains("OPTIONS")).map(|allow| format!("{allow},OPTIONS"));
    if let Some(Ok(allow)) = allow.map(HeaderValue::try_from) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    if asked == Method::OPTIONS {
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}

async fn in_time(request: Request, next: Next, id: &RequestId) -> Response {
    // Of the server as a whole.
    if request.method() == Method::OPTIONS && request.uri().path() == "*" {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, ANY_METHOD)]).into_response();
    }
    // TRACE would answer with the caller's key in it (RFC 9110, 9.3.8), and CONNECT asks for a tunnel.
    if is_forwarded(&request) && matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        let sentence = "not by this method; see the `Allow` header";
        let error = ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", sentence);
        let mut response = error.into_response();
        response.headers_mut().insert(header::ALLOW, ANY_METHOD);
        return response;
    }
    if let Err(error) = takes_its_query(&request) {
        return error.into_response();
    }
    // A caller that hangs up does not cut off what others' answers are written with.
    let reads = matches!(*request.method(), Method::GET | Method::HEAD) && !is_gateway(&request);
    let answer = id.answering(next.run(request));
    let answered = if reads {
        tokio::time::timeout(TIMEOUT, answer).await
    } else {
        let answer = tokio::spawn(answer);
        tokio::time::timeout(TIMEOUT, async { answer.await.unwrap_or_else(|_| failed()) }).await
    };
    match answered {
        Ok(response) => response,
        Err(_) => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            ApiError::new(status, "timeout", "this took too long; see whether it was done, then try again")
                .retry_after(5)
                .into_response()
        }
    }
}
