//! Why a URL opens no provider.

use std::path::PathBuf;

use kakunin_core::key::SignError;

/// Why a URL opens no provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyUrlError {
    /// No scheme, or another.
    #[error("a key URL begins with `local:`, `awskms:` or `pkcs11:`")]
    Scheme,
    /// Not `name=value`, or a `%` without two hex digits.
    #[error("the form is `scheme:name=value;name=value?name=value&name=value`, with octets as %xx")]
    Malformed,
    /// This scheme has no such attribute.
    #[error("`{scheme}:` has no attribute `{name}`; it has {known}")]
    Unknown {
        /// The scheme.
        scheme: &'static str,
        /// The attribute.
        name: String,
        /// What there is.
        known: String,
    },
    /// An attribute is there twice.
    #[error("the attribute `{0}` is there twice")]
    Twice(&'static str),
    /// An attribute that is needed is missing, or its value is none.
    #[error("the attribute `{name}` is {needed}")]
    Value {
        /// The attribute.
        name: &'static str,
        /// What it is.
        needed: &'static str,
    },
    /// This build has not that provider.
    #[error("this build cannot open `{0}:` keys; build it with the feature `{1}`")]
    NotBuilt(&'static str, &'static str),
    /// A file that the URL names cannot be used.
    #[error("cannot use {path}: {why}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The provider cannot be opened.
    #[error(transparent)]
    Provider(#[from] SignError),
}
