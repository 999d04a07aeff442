//! Requests by whoever is no part of the deployment: each on a connection of its own, so that none profits
//! from what an earlier one was allowed.

use std::path::Path;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use kakunin_verify::feed::http::{Bounds, HttpClient, HttpError, Shown, Tls};
use rustls::pki_types::CertificateDer;

use super::error::MonitorError;
use crate::pem_file;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);
const BOUNDS: Bounds = Bounds {
    connect: PATIENCE,
    silence: PATIENCE,
    whole: Some(PATIENCE),
    // A CRL with a million entries fits.
    body: 128 * 1024 * 1024,
    keep: false,
};

/// Makes requests.
#[derive(Clone, Debug)]
pub(super) struct Http {
    tls: Tls,
    named: Vec<CertificateDer<'static>>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// Trusts the certificates in `file` (PEM), or those of the system.
    pub(super) fn new(file: Option<&Path>) -> Result<Self, MonitorError> {
        let Some(file) = file else { return Ok(Self { tls: Tls::system(), named: Vec::new() }) };
        let unusable = |why: String| MonitorError::Trust(format!("{}: {why}", file.display()));
        let octets = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
        let named = pem_file::certificates(file, &octets).map_err(unusable)?;
        let tls = Tls::trusting(named.iter().cloned()).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { tls, named })
    }

    /// The certificates in the file; none if those of the system are trusted.
    pub(super) fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.named
    }

    /// For what is at `url`.
    pub(super) fn client(&self, url: &str, shown: Option<Shown>) -> Result<HttpClient, MonitorError> {
        HttpClient::new(url, &self.tls, shown, &BOUNDS).map_err(|error| failed(url, error))
    }

    pub(super) async fn send(
        &self,
        url: &str,
        method: Method,
        fields: &[(&str, &str)],
        body: Vec<u8>,
        shown: Option<Shown>,
    ) -> Result<Answer, MonitorError> {
        let unusable = |error: &dyn std::fmt::Display| MonitorError::Http(url.to_owned(), error.to_string());
        let mut head = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).map_err(|error| unusable(&error))?;
            head.append(name, HeaderValue::try_from(*value).map_err(|error| unusable(&error))?);
        }
        let failed = |error| failed(url, error);
        let answer = self.client(url, shown)?.send(method, "", head, body).await.map_err(failed)?;
        let status = answer.status().as_u16();
        Ok(Answer { status, body: answer.whole().await.map_err(failed)? })
    }
}

/// Nobody who answers in time is nobody who refuses.
fn failed(url: &str, error: HttpError) -> MonitorError {
    match error {
        HttpError::Unreachable(why) => MonitorError::Unreachable(url.to_owned(), why),
        HttpError::TooSlow => MonitorError::Unreachable(url.to_owned(), "no answer within 5 s".to_owned()),
        other => MonitorError::Http(url.to_owned(), other.to_string()),
    }
}
