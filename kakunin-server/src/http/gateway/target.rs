//! What an agent asks for, as far as whoever asks on its behalf says it. The action is the gateway's word, and so it is
//! only worth something where the service behind reads method and path as the gateway did.

use axum::extract::OriginalUri;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use kakunin_verify::Denied;
use kakunin_verify::target::{OVERRIDE_HEADERS, ambiguous, is_plain_method, plain_target};

use super::asked::AskedRequest;

/// By which gateways hand over the target, whole or from the path on, and the method.
const TARGETS: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];
const METHODS: [&str; 2] = ["x-forwarded-method", "x-original-method"];
/// Where Envoy puts it: behind the path that it asks.
const ASKED: &str = "/gateway/auth";

/// Whether the request that a gateway holds back can be read in one way only. What it does not say is not looked at; a
/// client that writes these fields itself gets refused at most.
pub(super) fn forwarded(parts: &Parts) -> Result<(), Denied> {
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    let asked = uri.path_and_query().map_or("/", |target| target.as_str());
    if let Some((_, behind)) = asked.split_once(ASKED).filter(|(_, behind)| behind.starts_with('/')) {
        plain_target(behind)?;
    }
    each(&parts.headers, &TARGETS, |target| plain_target(origin_form(target)).map(drop))?;
    method(parts.method.as_str())?;
    each(&parts.headers, &METHODS, method)?;
    // Of these, gateways use one to say what was asked for.
    match OVERRIDE_HEADERS.iter().find(|name| !TARGETS.contains(*name) && parts.headers.contains_key(**name))
    {
        Some(name) => Err(ambiguous(name)),
        None => Ok(()),
    }
}

/// The same of a request in a body.
pub(super) fn passed_on(request: &AskedRequest, headers: &HeaderMap) -> Result<(), Denied> {
    plain_target(&request.target)?;
    method(&request.method)?;
    match OVERRIDE_HEADERS.iter().find(|name| headers.contains_key(**name)) {
        Some(name) => Err(ambiguous(name)),
        None => Ok(()),
    }
}

fn method(method: &str) -> Result<(), Denied> {
    if is_plain_method(method) { Ok(()) } else { Err(ambiguous("a method that is not of capital letters")) }
}

fn each(
    headers: &HeaderMap,
    names: &[&str],
    check: impl Fn(&str) -> Result<(), Denied>,
) -> Result<(), Denied> {
    let mut values = names.iter().flat_map(|name| headers.get_all(*name));
    values.try_for_each(|value| check(value.to_str().unwrap_or_default()))
}

/// Without scheme and authority, which some put before it.
fn origin_form(target: &str) -> &str {
    let below = ["http://", "https://"].iter().find_map(|scheme| target.strip_prefix(scheme));
    below.and_then(|below| below.find('/').and_then(|at| below.get(at..))).unwrap_or(target)
}
