//! Parts of long lists: by offset for what changes little, by cursor for what grows.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use kakunin_core::id::AgentId;
use kakunin_core::shape;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::error::ApiError;
use super::text::{is_word, shown};

const DEFAULT_LIMIT: u16 = 20;
const MAX_LIMIT: u16 = 100;

/// The query of a request; members that are not known are refused.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(params)| Self(params)).map_err(|rejection| {
            let text = rejection.body_text();
            let said = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            ApiError::bad_request("query_invalid", wrong(parts.uri.query().unwrap_or_default(), said))
        })
    }
}

/// What is wrong with a query, from what its parser says of it: `member: why`.
fn wrong(query: &str, said: &str) -> String {
    // A name that is not one stands before what is said of it, too.
    let said = said.find("unknown field `").and_then(|at| said.get(at..)).unwrap_or(said);
    let (member, why) = said.split_once(": ").filter(|(member, _)| is_word(member)).unwrap_or(("", said));
    let given = query.split('&').find_map(|pair| pair.strip_prefix(member)?.strip_prefix('='));
    let given = shown(given.unwrap_or_default());
    match why {
        "invalid digit found in string"
        | "number too large to fit in target type"
        | "cannot parse integer from empty string" => {
            format!("`{member}` is `{given}`: write a whole number that is not too large")
        }
        "provided string was not `true` or `false`" => {
            format!("`{member}` is `{given}`: write true or false")
        }
        why => shape::sentence(member, why).1,
    }
}

/// Where a list goes on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pagination {
    limit: usize,
    has_next_page: bool,
    /// To be sent as `before`; absent on the last page.
    next_cursor: Option<String>,
}

/// A page of a list that grows.
#[derive(Serialize, ToSchema)]
pub(crate) struct PageBody<T> {
    pub(crate) data: Vec<T>,
    pub(crate) pagination: Pagination,
}

/// A part of a list that changes little.
#[derive(Serialize, ToSchema)]
pub(crate) struct ListBody<T> {
    pub(crate) data: Vec<T>,
    pub(crate) meta: Meta,
    pub(crate) pagination: Pagination,
}

/// Which part it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Meta {
    /// How many there are in all.
    pub(crate) total: usize,
    pub(crate) limit: usize,
    pub(crate) offset: usize,
}

impl Pagination {
    pub(crate) fn new(limit: usize, next: Option<u64>) -> Self {
        Self { limit, has_next_page: next.is_some(), next_cursor: next.map(|n| n.to_string()) }
    }
}

/// A limit within bounds.
pub(crate) fn limit(asked: Option<u16>) -> Result<usize, ApiError> {
    match asked.unwrap_or(DEFAULT_LIMIT) {
        n @ 1..=MAX_LIMIT => Ok(n.into()),
        other => {
            let sentence = format!("`limit` is {other}: write 1 to {MAX_LIMIT}");
            Err(ApiError::bad_request("limit_invalid", sentence))
        }
    }
}

/// A cursor, if there is one.
pub(crate) fn before(cursor: Option<&str>) -> Result<Option<u64>, ApiError> {
    let malformed = || {
        let given = shown(cursor.unwrap_or_default());
        let sentence = format!("`before` is `{given}`: send a `next_cursor` of this list");
        ApiError::bad_request("cursor_malformed", sentence)
    };
    let digits = |text: &str| (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match cursor {
        None => Ok(None),
        Some(text) if digits(text) => text.parse().map(Some).map_err(|_| malformed()),
        Some(_) => Err(malformed()),
    }
}

/// The agent that a query names, if it names one.
pub(crate) fn agent(
    member: &str,
    code: &'static str,
    text: Option<&str>,
) -> Result<Option<AgentId>, ApiError> {
    let malformed = |text: &str| {
        let sentence = format!("`{member}` is `{}`: write the UUID of an agent, in lower case", shown(text));
        ApiError::bad_request(code, sentence)
    };
    text.map(|text| text.parse().map_err(|_| malformed(text))).transpose()
}
