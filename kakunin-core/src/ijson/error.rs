//! Why a text is not I-JSON.

/// How deep values may be nested.
pub const MAX_DEPTH: usize = 127;

/// Why a text is not I-JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", place(.path))]
pub struct IJsonError {
    /// Which member, such as `payload.orders[2].id`; empty for the whole text. Cut, and free of control characters.
    pub path: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a text, or with a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// It is not JSON.
    #[error("not JSON")]
    Syntax,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("values are nested deeper than {MAX_DEPTH}; send them flatter")]
    Depth,
    /// A member comes twice.
    #[error("the member comes twice; send it once")]
    Duplicate,
    /// A number that a double does not hold to the digit. Its beginning is shown.
    #[error(
        "not every reader keeps the number {0} to the digit (RFC 7493); send one up to 9007199254740991, or a text where one is taken"
    )]
    Number(String),
    /// Half of a surrogate pair.
    #[error("the text holds half of a surrogate pair (RFC 7493); send whole characters")]
    Surrogate,
}

fn place(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{path}`: ") }
}

impl IJsonError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.why {
            Why::Syntax | Why::Depth => "json_malformed",
            Why::Duplicate => "json_member_twice",
            Why::Number(_) => "json_number_inexact",
            Why::Surrogate => "json_surrogate",
        }
    }

    /// Whether it is JSON at all, and only not I-JSON.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        !matches!(self.why, Why::Syntax | Why::Depth)
    }
}
