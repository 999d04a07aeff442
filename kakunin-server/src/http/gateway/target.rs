//! What an agent asks for, as far as whoever asks on its behalf says it. The action is the gateway's word, and so it is
//! only worth something where the service behind reads method and path as the gateway did.

use axum::extract::OriginalUri;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use kakunin_verify::Denied;
use kakunin_verify::dry_run::DryRun;
use kakunin_verify::target::{OVERRIDE_HEADERS, ambiguous, is_plain_method, plain_target};

use super::asked::AskedRequest;

/// By which gateways hand over the target, whole or from the path on, and the method.
const TARGETS: [&str; 3] = ["x-forwarded-uri", "x-original-uri", "x-original-url"];
const METHODS: [&str; 2] = ["x-forwarded-method", "x-original-method"];
/// Where Envoy puts it: behind the path that it asks.
const ASKED: &str = "/gateway/auth";

/// Where a request goes, in each of the words of whoever hands it over.
pub(super) struct Route<'a> {
    /// Whether there is one way to read it, also what is not looked at here.
    plain: bool,
    methods: Vec<&'a str>,
    targets: Vec<&'a str>,
}

impl<'a> Route<'a> {
    /// Of a request that a gateway holds back, if that was `read` so.
    pub(super) fn forwarded(parts: &'a Parts, read: &Result<(), Denied>) -> Self {
        let values = |names: &'static [&'static str]| {
            let values = names.iter().flat_map(|name| parts.headers.get_all(*name));
            values.map(|value| value.to_str().unwrap_or_default())
        };
        let (mut methods, mut targets): (Vec<_>, Vec<_>) =
            (values(&METHODS).collect(), values(&TARGETS).collect());
        // Who asks behind the path asks by the method, too.
        if let Some(behind) = behind(parts) {
            targets.insert(0, behind);
            methods.insert(0, parts.method.as_str());
        }
        Self { plain: read.is_ok(), methods, targets }
    }

    /// Of a request in a body, if that was `read` so; without one, the agent asks for no route.
    pub(super) fn passed_on(request: Option<&'a AskedRequest>, read: &Result<(), Denied>) -> Self {
        let (methods, targets) = request.map(|one| (one.method.as_str(), one.target.as_str())).unzip();
        let (methods, targets) = (methods.into_iter().collect(), targets.into_iter().collect());
        Self { plain: read.is_ok(), methods, targets }
    }

    pub(super) const fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether a dry run is for it, whichever of its words one believes: a client may have added one.
    pub(super) fn is_of(&self, dry_run: &DryRun) -> bool {
        let of = |target: &&str| match &*self.methods {
            [] => dry_run.of_route(None, target),
            methods => methods.iter().all(|method| dry_run.of_route(Some(method), target)),
        };
        !self.targets.is_empty() && self.targets.iter().all(of)
    }

    /// Method and path, as far as they were handed over, for the log: a query may hold secrets.
    pub(super) fn first(&self) -> (Option<&'a str>, Option<&'a str>) {
        let path =
            self.targets.first().map(|target| target.split_once('?').map_or(*target, |(path, _)| path));
        (self.methods.first().copied(), path)
    }
}

/// Whether the request that a gateway holds back can be read in one way only. What it does not say is not looked at; a
/// client that writes these fields itself gets refused at most.
pub(super) fn forwarded(parts: &Parts) -> Result<(), Denied> {
    if let Some(behind) = behind(parts) {
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

/// What Envoy puts there.
fn behind(parts: &Parts) -> Option<&str> {
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    let asked = uri.path_and_query().map_or("/", |target| target.as_str());
    asked.split_once(ASKED).map(|(_, behind)| behind).filter(|behind| behind.starts_with('/'))
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
