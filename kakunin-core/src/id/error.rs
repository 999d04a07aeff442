//! Why a text is not an identifier.

use crate::text::hidden;

/// Why a text is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{value}` is malformed: {rule}")]
pub struct IdError {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

impl IdError {
    pub(super) fn new(kind: &'static str, value: &str, rule: &'static str) -> Self {
        // What a caller sent may be long or unprintable; an error quotes only its beginning.
        let value = value.chars().take(40).map(|c| if hidden(c).is_some() { '?' } else { c }).collect();
        Self { kind, value, rule }
    }

    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "malformed_id"
    }
}
