//! An answer within bounds.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::error::HttpError;

/// An answer; its content comes as it is asked for.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
    most: usize,
}

impl Answer {
    pub(super) const fn new(response: reqwest::Response, most: usize) -> Self {
        Self { response, most }
    }

    /// Its status; a redirect is one like any other.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Its header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next piece of the content; `None` at its end. There is no bound on how many there are.
    ///
    /// # Errors
    /// [`HttpError::TooSlow`], [`HttpError::Broken`].
    pub async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.response.chunk().await.map_err(|error| HttpError::of(&error))
    }

    /// The whole content.
    ///
    /// # Errors
    /// As those of [`Answer::piece`], and [`HttpError::TooLong`].
    pub async fn whole(mut self) -> Result<Vec<u8>, HttpError> {
        let said = self.response.content_length().unwrap_or(0);
        if usize::try_from(said).map_or(true, |said| said > self.most) {
            return Err(HttpError::TooLong(self.most));
        }
        let mut whole = Vec::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > self.most {
                return Err(HttpError::TooLong(self.most));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }
}
