//! Why the story did not come to its end.

use crate::serve::ServeError;

/// Why the story did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The server did not start or end.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// No connection, or an answer that is not one.
    #[error("the API did not answer: {0}")]
    Api(String),
    /// Something else happened than what is told here.
    #[error("the story went wrong: {0}")]
    Story(String),
    /// A key or request could not be made.
    #[error(transparent)]
    Key(#[from] kakunin_core::key::SignError),
    /// A folder or the terminal cannot be used.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
