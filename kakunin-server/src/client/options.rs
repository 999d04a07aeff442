//! Which server is asked, and with which key.

use std::path::{Path, PathBuf};

use axum::http::HeaderValue;
use kakunin_verify::feed::http::{Tls, bearer};
use zeroize::Zeroizing;

use super::error::ClientError;
use crate::pem_file;

/// The variable that holds the API key, if no file is named. A flag would show it to everybody who lists processes.
pub const KEY_VARIABLE: &str = "KAKUNIN_API_KEY";

/// Which server is asked, and with which key.
#[derive(Clone, Debug)]
pub struct Options {
    /// URL of the server.
    pub url: String,
    /// File with an API key; without one, [`KEY_VARIABLE`] holds it.
    pub key_file: Option<PathBuf>,
    /// Certificates (PEM) that the server is trusted by, if not the system's.
    pub ca: Option<PathBuf>,
}

impl Options {
    pub(super) fn tls(&self) -> Result<Tls, ClientError> {
        self.ca.as_deref().map_or_else(|| Ok(Tls::system()), trusting)
    }

    /// The key, as it is shown.
    pub(super) fn key(&self) -> Result<HeaderValue, ClientError> {
        let Some(path) = &self.key_file else {
            let key = Zeroizing::new(std::env::var(KEY_VARIABLE).unwrap_or_default());
            return bearer(&key).ok_or(ClientError::NoKey);
        };
        let unreadable = |source| ClientError::KeyFile { path: path.clone(), source };
        let key = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
        bearer(&key).ok_or_else(|| ClientError::NoKeyIn(path.clone()))
    }
}

fn trusting(path: &Path) -> Result<Tls, ClientError> {
    let unusable = |why: String| ClientError::Trust { path: path.to_owned(), why };
    let octets = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let named = pem_file::certificates(path, &octets).map_err(unusable)?;
    Tls::trusting(named).map_err(|error| unusable(error.to_string()))
}
