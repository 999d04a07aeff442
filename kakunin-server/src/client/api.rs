//! Requests to one server, and what is answered.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use kakunin_verify::feed::http::{Answer, Bounds, HttpClient, HttpError, Tls};
use serde_json::Value;

use super::error::ClientError;
use super::options::Options;

/// The server ends a request after 30 s.
const PATIENCE: Duration = Duration::from_secs(35);
const BOUNDS: Bounds = Bounds {
    connect: Duration::from_secs(10),
    silence: PATIENCE,
    whole: Some(PATIENCE),
    body: 64 * 1024 * 1024,
    keep: true,
};
/// A stream says something every few seconds, and has no end.
const OF_STREAMS: Bounds = Bounds { whole: None, ..BOUNDS };
/// The most of a refusal that is shown, in characters.
const MOST_SAID: usize = 600;

/// Asks one server, with one key.
#[derive(Clone, Debug)]
pub struct Client {
    http: HttpClient,
    streams: HttpClient,
    key: HeaderValue,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status, which is one of success.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The whole content; `null` if there is none.
    pub json: Value,
}

impl Reply {
    /// The member `data`, or `null`.
    #[must_use]
    pub fn data(&self) -> &Value {
        self.json.get("data").unwrap_or(&Value::Null)
    }
}

impl Client {
    /// Asks the server that the options name. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError`] if they cannot be used.
    pub fn new(options: &Options) -> Result<Self, ClientError> {
        let (base, tls) = (options.url.trim_end_matches('/'), options.tls()?);
        let (http, streams) = (connect(base, &tls, &BOUNDS)?, connect(base, &tls, &OF_STREAMS)?);
        if !http.is_confidential() {
            return Err(ClientError::PlainKey);
        }
        Ok(Self { http, streams, key: options.key()? })
    }

    /// GET of what is at `path`, such as `/api/v1/agents`.
    ///
    /// # Errors
    /// [`ClientError`], also for each status that is none of success.
    pub async fn get(&self, path: &str) -> Result<Reply, ClientError> {
        self.send(Method::GET, path, &[], None).await
    }

    /// Any request, perhaps with JSON. Fields are such as `If-Match`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(HeaderName, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, ClientError> {
        let what = format!("{method} {path}");
        let content = body.map(|body| body.to_string().into_bytes());
        let mut head = self.head(fields)?;
        if content.is_some() {
            head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let answer = self.http.send(method, path, head, content.unwrap_or_default()).await;
        let answer = answer.map_err(|error| self.failed(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.whole().await.map_err(|error| self.failed(&error))?;
        if !status.is_success() {
            return Err(refused(what, status, &body));
        }
        if body.is_empty() {
            return Ok(Reply { status, headers, json: Value::Null });
        }
        let json = serde_json::from_slice(&body).map_err(|_| ClientError::Unexpected { what })?;
        Ok(Reply { status, headers, json })
    }

    /// Opens a stream of server-sent events, after the event that is named, if one is.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn open(&self, path: &str, last_event: Option<&str>) -> Result<Answer, ClientError> {
        let fields = last_event.map(|id| (HeaderName::from_static("last-event-id"), id));
        let head = self.head(fields.as_slice())?;
        let answer = self.streams.send(Method::GET, path, head, Vec::new()).await;
        let answer = answer.map_err(|error| self.failed(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = answer.whole().await.map_err(|error| self.failed(&error))?;
        Err(refused(format!("GET {path}"), status, &body))
    }

    fn head(&self, fields: &[(HeaderName, &str)]) -> Result<HeaderMap, ClientError> {
        let mut head = HeaderMap::from_iter([(header::AUTHORIZATION, self.key.clone())]);
        for (name, value) in fields {
            let what = || ClientError::Unexpected { what: format!("the field {name}") };
            head.insert(name, HeaderValue::try_from(*value).map_err(|_| what())?);
        }
        Ok(head)
    }

    fn failed(&self, error: &HttpError) -> ClientError {
        no_answer(self.http.base(), error)
    }
}

fn connect(base: &str, tls: &Tls, bounds: &Bounds) -> Result<HttpClient, ClientError> {
    HttpClient::new(base, tls, None, bounds).map_err(|error| no_answer(base, &error))
}

fn no_answer(url: &str, error: &HttpError) -> ClientError {
    ClientError::NoAnswer { url: url.to_owned(), why: error.to_string() }
}

/// The refusal in the server's words; of what is no kakunin, the beginning of what it says.
fn refused(what: String, status: StatusCode, body: &[u8]) -> ClientError {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name| json.get(name).and_then(Value::as_str).map(str::to_owned);
    let sentence = text("message").or_else(|| text("error"));
    let sentence = sentence.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    let sentence = sentence.chars().take(MOST_SAID).collect();
    ClientError::Refused { what, status: status.as_u16(), code: text("code").unwrap_or_default(), sentence }
}
