//! JSON in and out: strict about content type, encoding, nesting and members that come twice.

use std::fmt;
use std::marker::PhantomData;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::ijson::{self, IJsonError};
use kakunin_core::shape::{self, Fault};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::error::{ApiError, CODING};

/// Most octets of a body; a batch of 1,000 events of 2 kB fits.
pub(crate) const MAX_BODY: usize = 2 * 1024 * 1024;

/// A body of JSON.
pub(crate) struct Json<T>(pub(crate) T);

/// An answer: `{"data": ...}`.
#[derive(Serialize, ToSchema)]
pub(crate) struct Data<T> {
    /// The answer.
    pub(crate) data: T,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        let body = read(request, state).await?;
        parse(&body).map(Self)
    }
}

/// A body of JSON that may be left out: many clients say `content-type: application/json` of no body, too.
pub(crate) struct Optional<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Optional<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let typed = check_type(request.headers());
        let body = read(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        typed.and_then(|()| parse(&body)).map(Self)
    }
}

/// No body, or an object without members: what else is asked for in it would not be done.
pub(crate) struct Nothing;

impl<S: Send + Sync> FromRequest<S> for Nothing {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct NoMembers {}

        check_coding(request.headers())?;
        let body = read(request, state).await?;
        if body.is_empty() { Ok(Self) } else { parse(&body).map(|NoMembers {}| Self) }
    }
}

/// Refuses what does not say that it is JSON.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return check_coding(headers);
    }
    let sentence = "send `content-type: application/json`";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", sentence))
}

/// Refuses a body that would have to be unpacked.
pub(super) fn check_coding(headers: &HeaderMap) -> Result<(), ApiError> {
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Ok(());
    }
    let sentence = "bodies are taken as they are; send it without `content-encoding`";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, CODING, sentence))
}

/// The octets of a body; what says that it is too long is not waited for.
pub(crate) async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > MAX_BODY) {
        return Err(too_large());
    }
    Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))
}

pub(crate) fn too_large() -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too long; send less at once")
}

/// Of one line of many.
pub(super) fn too_large_line() -> ApiError {
    let sentence = "a line has 64 KiB at the most; send less in one event";
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "line_too_long", sentence)
}

/// Why the connection gives no more of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// It does not come.
    #[error("the body did not come in time")]
    Slow,
    /// Too many octets wait to be whole.
    #[error("too many bodies are on their way")]
    Crowded,
}

/// Why a body could not be read.
fn unreadable(rejection: &BytesRejection) -> ApiError {
    let status = rejection.status();
    let first: &dyn std::error::Error = rejection;
    let mut causes = std::iter::successors(Some(first), |cause| cause.source());
    match causes.find_map(|cause| cause.downcast_ref::<BodyError>()) {
        Some(BodyError::Slow) => {
            let sentence = "the body did not come in time; send it again";
            return ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", sentence);
        }
        Some(BodyError::Crowded) => {
            return ApiError::busy("bodies_crowded", "too many bodies are on their way", 5);
        }
        None => {}
    }
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        too_large()
    } else {
        ApiError::bad_request("body_unreadable", "the body ended early; send it again")
    }
}

/// Parses a body; what is not JSON is 400, what is JSON of another shape, or not I-JSON (RFC 7493), is 422.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // What is not JSON at all the parser says better, with the place.
    match str::from_utf8(body).map(ijson::check) {
        Ok(Err(error)) if error.is_json() => return Err(error.into()),
        _ => {}
    }
    shape::read(body).map(|Object(value)| value).map_err(|error| {
        let (line, column, why) = (error.line, error.column, &error.why);
        match error.fault {
            Fault::Shape => {
                let refused = ApiError::unprocessable("body_invalid", why);
                error.member().map(str::to_owned).into_iter().fold(refused, ApiError::about)
            }
            Fault::Cut if body.trim_ascii().is_empty() => {
                ApiError::bad_request("json_malformed", "the body is empty: send a JSON object, such as `{}`")
            }
            Fault::Cut => {
                let sentence = format!(
                    "the body ends in the middle of its JSON, after {} octets (line {line}, column {column}): send all of it",
                    body.len()
                );
                ApiError::bad_request("json_malformed", sentence)
            }
            Fault::Syntax => {
                let why = why.strip_prefix("it ").unwrap_or(why);
                let sentence = format!(
                    "the body {why} (line {line}, column {column}); send an object, such as `{{\"name\": \"value\"}}`"
                );
                ApiError::bad_request("json_malformed", sentence)
            }
        }
    })
}

impl From<IJsonError> for ApiError {
    fn from(error: IJsonError) -> Self {
        let member = error.path.split(['.', '[']).next().filter(|name| !name.is_empty());
        let refused = Self::unprocessable(error.code(), error.to_string());
        member.map(str::to_owned).into_iter().fold(refused, Self::about)
    }
}

impl<T: Serialize> IntoResponse for Data<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer does not encode");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// A JSON object as `T`. What is derived for a struct takes a list of its members in order, too.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Members that are objects.
pub(crate) mod object {
    use serde::de::{Deserialize, Deserializer};

    use super::Object;

    pub(crate) fn optional<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        d: D,
    ) -> Result<Option<T>, D::Error> {
        Ok(Option::<Object<T>>::deserialize(d)?.map(|Object(value)| value))
    }

    pub(crate) fn required<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<T, D::Error> {
        Object::deserialize(d).map(|Object(value)| value)
    }

    pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        d: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        optional(d).map(Some)
    }

    pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
        Ok(Vec::<Object<T>>::deserialize(d)?.into_iter().map(|Object(value)| value).collect())
    }
}

/// Any JSON value of a body, which is I-JSON as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Free(pub(crate) Value);

impl Free {
    /// Its one spelling (RFC 8785).
    pub(crate) fn canonical(&self) -> Result<String, ApiError> {
        serde_json_canonicalizer::to_string(&self.0)
            .map_err(|_| ApiError::unprocessable("json_not_canonical", "a number is out of range (RFC 8785)"))
    }
}

/// A whole number, which JSON may also write as `2.0` or `2e3` (JSON Schema, `integer`).
pub(crate) mod whole {
    use kakunin_core::ijson::MAX_INTEGER;
    use serde::de::{Deserialize, Deserializer, Error};
    use serde_json::Number;

    fn of<E: Error>(number: &Number) -> Result<u64, E> {
        let text = number.as_f64().filter(|n| n.fract() == 0.0).map(|n| format!("{n:.0}"));
        number
            .as_u64()
            .or_else(|| text?.parse().ok())
            .filter(|n| *n <= MAX_INTEGER)
            .ok_or_else(|| E::custom(format!("`{number}` is not a whole number from 0 to 2^53 - 1")))
    }

    pub(crate) fn required<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
        Number::deserialize(d).and_then(|number| of(&number))
    }

    pub(crate) fn optional<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
        Option::<Number>::deserialize(d)?.map(|number| of(&number)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_json_is_strict_where_parsers_differ() {
        #[derive(Deserialize)]
        struct One {
            a: Free,
        }
        let parsed = |text: &str| {
            let body = format!("{{\"a\":{text}}}");
            parse::<One>(body.as_bytes()).map(|one| one.a.canonical().unwrap())
        };
        assert_eq!(parsed(r#"{"b":1.0,"a":[null,true,"x"]}"#).unwrap(), r#"{"a":[null,true,"x"],"b":1}"#);
        // What is signed can be sent on as it was signed.
        for number in ["9007199254740991", "1E30", "0.1", "1e21", "5e-324", "100", "-1.50"] {
            let written = parsed(number).unwrap();
            assert_eq!(parsed(&written).unwrap(), written);
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for bad in
            [r#"{"a":1,"a":2}"#, r#"{"a":{"b":1,"b":1}}"#, "9007199254740993", "1e999", "{", "NaN", "", &deep]
        {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        assert!(parse::<One>(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn a_list_is_not_an_object() {
        #[derive(Deserialize)]
        struct Two {
            #[serde(default, deserialize_with = "object::optional")]
            one: Option<Box<Self>>,
        }
        let parsed = |text: &str| parse::<Two>(text.as_bytes());
        assert!(
            parsed(r#"{"one":{"one":null}}"#).is_ok_and(|two| two.one.is_some_and(|one| one.one.is_none()))
        );
        for bad in ["[null]", r#"{"one":[null]}"#, "null", "1"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }
}
