//! Which operations take a query, by the description of the API.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;

use super::error::ApiError;
use super::openapi;
use super::routes::{self, operations, takes_query};

/// Refuses a query where none is taken, as an unknown member of one is: what is asked for in it would not be done.
/// Another method than there is gets 405 from the router, whatever the query; the query of a forwarded request is that
/// of a gateway's client, and is not ours to judge.
pub(super) fn takes_its_query(request: &Request) -> Result<(), ApiError> {
    let Some(query) = request.uri().query().filter(|query| !query.is_empty()) else { return Ok(()) };
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    if !matched.and_then(|path| WITHOUT.get(path)).is_some_and(|methods| methods.contains(method)) {
        return Ok(());
    }
    let name: String = query.split(['=', '&']).next().unwrap_or_default().chars().take(64).collect();
    let sentence = format!("unknown parameter `{name}`: this resource takes no query");
    Err(ApiError::bad_request("query_invalid", sentence))
}

/// Methods that take none, by path.
static WITHOUT: LazyLock<HashMap<String, Vec<Method>>> = LazyLock::new(|| {
    let own = (openapi::PATH.to_owned(), vec![Method::GET]);
    let described = routes::all().described.paths.paths.into_iter().map(|(path, item)| {
        let none = operations(&item).filter(|(_, operation)| !takes_query(operation));
        let methods = none.map(|(method, _)| method).collect();
        (path, methods)
    });
    let forwarded = |path: &str| path == routes::FORWARDED;
    described.filter(|(path, _)| !forwarded(path)).chain([own]).collect()
});
