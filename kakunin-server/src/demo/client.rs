//! A caller of the API: HTTP and JSON, nothing of this crate's own.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::error::DemoError;

/// Calls one server, perhaps with a key.
#[derive(Clone, Debug)]
pub struct Client {
    http: HttpClient<HttpConnector, Body>,
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
        let http = HttpClient::builder(TokioExecutor::new()).build_http();
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
        let failed = |error: &dyn std::error::Error| DemoError::Api(crate::http::chain(error));
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).map_err(|error| failed(&error))?;
        let response = self.http.request(request).await.map_err(|error| failed(&error))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// Content of JSON.
pub(super) const JSON: (&str, &str) = ("content-type", "application/json");
