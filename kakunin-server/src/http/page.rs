//! Parts of long lists: by offset for what changes little, by cursor for what grows.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use kakunin_core::id::{AgentId, Serial};
use kakunin_core::service::{Page, ReadFrom};
use kakunin_core::shape;
use kakunin_core::time::UnixTime;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use utoipa::openapi::schema::{ObjectBuilder, OneOf, Schema, Type};

use super::error::ApiError;
use super::event_members::{EVENT_TIMES, RFC3339};
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
    /// To be sent as `before`, or as `after` if that was asked for; absent on the last page.
    next_cursor: Option<String>,
    /// The same, where a list goes on with what is older.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// Where a list goes on that is read oldest first; on the last page, too: what comes later is after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<String>,
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
        let next_cursor = next.map(|n| n.to_string());
        Self { limit, has_next_page: next.is_some(), before: next_cursor.clone(), next_cursor, after: None }
    }

    /// Of a page of a log.
    pub(crate) fn of(limit: usize, from: ReadFrom, page: &Page) -> Self {
        let newest_first = Self::new(limit, page.next);
        match from {
            ReadFrom::After(_) => {
                Self { before: None, after: Some(page.reached.to_string()), ..newest_first }
            }
            _ => newest_first,
        }
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

/// A cursor of a list that is read newest first, if there is one.
pub(crate) fn before(text: Option<&str>) -> Result<Option<u64>, ApiError> {
    cursor("before", text)
}

fn cursor(member: &str, text: Option<&str>) -> Result<Option<u64>, ApiError> {
    let malformed = || {
        let given = shown(text.unwrap_or_default());
        let sentence = format!("`{member}` is `{given}`: send a `next_cursor` of this list");
        ApiError::bad_request("cursor_malformed", sentence)
    };
    let digits = |text: &str| (1..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match text {
        None => Ok(None),
        Some(text) if digits(text) => text.parse().map(Some).map_err(|_| malformed()),
        Some(_) => Err(malformed()),
    }
}

/// Where a page of a log begins.
pub(crate) fn read_from(before: Option<&str>, after: Option<&str>) -> Result<ReadFrom, ApiError> {
    match (cursor("before", before)?, cursor("after", after)?) {
        (None, None) => Ok(ReadFrom::End),
        (Some(place), None) => Ok(ReadFrom::Before(place)),
        (None, Some(place)) => Ok(ReadFrom::After(place)),
        (Some(_), Some(_)) => {
            let sentence = "`before` reads newest first, `after` oldest first: send one of them";
            Err(ApiError::bad_request("cursors_conflict", sentence))
        }
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

/// The certificate that a query names, if it names one.
pub(crate) fn serial(text: Option<&str>) -> Result<Option<Serial>, ApiError> {
    let malformed = |text: &str| {
        let given = shown(text);
        let sentence =
            format!("`serial` is `{given}`: write the 32 hex digits of a certificate, in upper case");
        ApiError::bad_request("serial_malformed", sentence)
    };
    text.map(|text| text.parse().map_err(|_| malformed(text))).transpose()
}

/// The times between which records were made, if a query names some.
pub(crate) fn times(
    since: Option<&str>,
    until: Option<&str>,
) -> Result<(Option<UnixTime>, Option<UnixTime>), ApiError> {
    let since = since.map(|text| time("since", "since_malformed", text)).transpose()?;
    let until = until.map(|text| time("until", "until_malformed", text)).transpose()?;
    match (since, until) {
        (Some(from), Some(to)) if from > to => {
            let sentence = format!("`since` is {from}, later than `until`, {to}: exchange them");
            Err(ApiError::bad_request("times_reversed", sentence))
        }
        times => Ok(times),
    }
}

fn time(member: &str, code: &'static str, text: &str) -> Result<UnixTime, ApiError> {
    let millis = text.parse().ok().filter(|millis| EVENT_TIMES.contains(millis));
    let time = millis.map(UnixTime::from_millis).or_else(|| UnixTime::from_rfc3339(text));
    time.ok_or_else(|| {
        let given = shown(text);
        let sentence = format!(
            "`{member}` is `{given}`: write RFC 3339, such as 2026-11-23T08:00:00Z, where a `+` is written `%2B`, or \
             milliseconds since 1970, from 2000 on"
        );
        ApiError::bad_request(code, sentence)
    })
}

/// How times of a query are described.
pub(crate) fn time_schema() -> Schema {
    // As many milliseconds as there are from 2000 on, up to 2099.
    const MILLIS: &str = "^(9466848[0-9]{5}|946684[9][0-9]{5}|94668[5-9][0-9]{6}|94669[0-9]{7}|946[7-9][0-9]{8}|94[7-9][0-9]{9}|9[5-9][0-9]{10}|[1-3][0-9]{12}|40[0-9]{11}|410[01][0-9]{9}|4102[0-3][0-9]{8}|41024[0-3][0-9]{7}|410244[0-3][0-9]{6}|4102444[0-7][0-9]{5})$";
    let text = |pattern| ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).build();
    OneOf::builder().item(text(RFC3339)).item(text(MILLIS)).build().into()
}
