//! A caller of the API: HTTP and JSON, nothing of this crate's own.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use kakunin_verify::feed::http::{Bounds, HttpClient, HttpError, Tls, bearer};
use serde_json::Value;

use super::error::DemoError;

/// The server ends a request after 30 s.
const BOUNDS: Bounds = Bounds {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(60),
    whole: None,
    body: 256 * 1024 * 1024,
    keep: true,
};

/// Calls one server, perhaps with a key.
#[derive(Clone, Debug)]
pub struct Client {
    http: Result<HttpClient, HttpError>,
    base: String,
    key: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Header fields.
    pub headers: HeaderMap,
    /// Content.
    pub body: Bytes,
}

impl Answer {
    /// The content as JSON; `null` if it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The member `data`.
    #[must_use]
    pub fn data(&self) -> Value {
        self.json().get_mut("data").map(Value::take).unwrap_or_default()
    }

    /// The text of a member of `data`, empty if it has none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.data().get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Client {
    /// Calls the server at `base`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let http = HttpClient::new(base, &Tls::system(), None, &BOUNDS);
        Self { http, base: base.to_owned(), key: None }
    }

    /// Which server it calls.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The same, with a key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same, without a key.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    /// GET.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer, DemoError> {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer, DemoError> {
        self.send(Method::POST, path, &[JSON], body.to_string().into_bytes()).await
    }

    /// Any request.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, DemoError> {
        let failed = |error: &dyn std::error::Error| DemoError::Api(error.to_string());
        let mut fields = HeaderMap::new();
        if let Some(key) = &self.key {
            let key = bearer(key).ok_or_else(|| DemoError::Api("this is no API key".to_owned()))?;
            fields.insert(header::AUTHORIZATION, key);
        }
        for (name, value) in headers {
            let name = HeaderName::try_from(*name).map_err(|error| failed(&error))?;
            fields.append(name, HeaderValue::try_from(*value).map_err(|error| failed(&error))?);
        }
        let http = self.http.as_ref().map_err(|error| failed(error))?;
        let answer = http.send(method, path, fields, body).await.map_err(|error| failed(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.whole().await.map_err(|error| failed(&error))?.into();
        Ok(Answer { status, headers, body })
    }
}

/// Content of JSON.
pub(super) const JSON: (&str, &str) = ("content-type", "application/json");
