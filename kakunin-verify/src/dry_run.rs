//! A dry run: what would be refused is decided and reported as if it were, and let through all the same.
//!
//! For whoever puts an enforcement point in front of a service that is in use, and wants to see first. Insecure by name:
//! nothing is kept out while it lasts.

use core::fmt;
use core::str::FromStr;

use kakunin_core::id::TenantId;
#[cfg(feature = "tower")]
use kakunin_core::time::UnixTime;

use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};
use crate::target::{is_plain_method, is_unreserved, path, plain_target};

/// Which requests are let through whatever is decided of them: those of agents of some tenants, and those that ask for
/// some routes, whoever sends them.
///
/// A request that can be read in more than one way, in whatever part, is of no route and is refused even so.
///
/// ```
/// use kakunin_verify::dry_run::DryRun;
///
/// let dry_run = DryRun::new().route("GET /reports/*".parse()?);
/// assert!(dry_run.of_route(Some("GET"), "/reports/2026?full=1"));
/// for (method, target) in [("POST", "/reports/2026"), ("GET", "/reports"), ("GET", "/reports/../vault")] {
///     assert!(!dry_run.of_route(Some(method), target));
/// }
/// # Ok::<_, kakunin_verify::dry_run::RoutePatternError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    tenants: Vec<TenantId>,
    routes: Vec<RoutePattern>,
}

/// A method, or every one, and a path, or all that is below one: `GET /reports/*`, `* /health`, `/reports/*`.
///
/// Paths are compared as they are written, letter case included. `/reports/*` is what begins with `/reports/`, and so not
/// `/reports`; `/*` is everything. `GET` includes `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    /// Every one if there is none.
    method: Option<String>,
    /// Ends with `/` where it stands for what is below.
    path: String,
    below: bool,
}

/// Not a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a route: write `GET /reports`, or `/reports/*` for every method and all that is below; segments are of A-Z a-z 0-9 - . _ ~"
)]
pub struct RoutePatternError;

impl DryRun {
    /// None: what is refused stays refused.
    #[must_use]
    pub const fn new() -> Self {
        Self { tenants: Vec::new(), routes: Vec::new() }
    }

    /// Also of agents of this tenant. A request that does not show whose it is, is of none.
    #[must_use]
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenants.push(tenant);
        self
    }

    /// Also of this route, whoever asks.
    #[must_use]
    pub fn route(mut self, route: RoutePattern) -> Self {
        self.routes.push(route);
        self
    }

    /// The tenants.
    #[must_use]
    pub fn tenants(&self) -> &[TenantId] {
        &self.tenants
    }

    /// The routes.
    #[must_use]
    pub fn routes(&self) -> &[RoutePattern] {
        &self.routes
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.tenants.is_empty() && self.routes.is_empty()
    }

    /// Whether it is for agents of this tenant.
    #[must_use]
    pub fn of_tenant(&self, tenant: &TenantId) -> bool {
        self.tenants.contains(tenant)
    }

    /// Whether it is for this method and target, an origin form. Where nobody says the method, only routes of every method
    /// count.
    #[must_use]
    pub fn of_route(&self, method: Option<&str>, target: &str) -> bool {
        self.routes.iter().any(|route| route.holds(method, target))
    }
}

impl RoutePattern {
    fn holds(&self, method: Option<&str>, target: &str) -> bool {
        let asked = method.map_or(self.method.is_none(), |asked| {
            let own = self.method.as_deref();
            let same = own.is_none_or(|own| own == asked || own == "GET" && asked == "HEAD");
            same && is_plain_method(asked)
        });
        let same = |path: &str| if self.below { path.starts_with(&self.path) } else { path == self.path };
        asked && plain_target(target).is_ok_and(same)
    }
}

impl FromStr for RoutePattern {
    type Err = RoutePatternError;

    fn from_str(text: &str) -> Result<Self, RoutePatternError> {
        let (method, route) =
            text.split_once(' ').map_or((None, text), |(method, rest)| (Some(method), rest));
        let method = method.filter(|method| *method != "*").map(str::to_owned);
        let below = route.ends_with("/*");
        let plain = route.strip_suffix('*').filter(|_| below).unwrap_or(route);
        let one_spelling =
            path(plain) == Ok(plain) && plain.bytes().all(|octet| is_unreserved(octet) || octet == b'/');
        if one_spelling && method.as_deref().is_none_or(is_plain_method) {
            Ok(Self { method, path: plain.to_owned(), below })
        } else {
            Err(RoutePatternError)
        }
    }
}

impl fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_deref().unwrap_or("*");
        write!(f, "{method} {}{}", self.path, if self.below { "*" } else { "" })
    }
}

/// In place of an [`Authorized`](crate::Authorized) with a request that a dry run let through: nothing permits it.
#[derive(Clone, Debug)]
pub struct WouldDeny {
    denied: Denied,
    agent: Option<VerifiedAgent>,
}

impl WouldDeny {
    /// `shown` is whose request it was shown to be.
    #[cfg(feature = "tower")]
    pub(crate) fn new(denied: Denied, shown: Option<&VerifiedAgent>, now: UnixTime) -> Self {
        let named =
            |agent: &&VerifiedAgent| is_about_what_is_asked(denied.code()) && agent.recheck(now).is_ok();
        let agent = shown.filter(named).cloned();
        Self { denied, agent }
    }

    /// Why it would be refused.
    #[must_use]
    pub const fn denied(&self) -> &Denied {
        &self.denied
    }

    /// Whose request it is, where that was shown by a certificate that stands, and it is what is asked for that would be
    /// refused. Otherwise it is nobody's.
    #[must_use]
    pub const fn agent(&self) -> Option<&VerifiedAgent> {
        self.agent.as_ref()
    }
}

/// Whether a refusal with this code is about what an agent asks for, and not about who that is.
#[must_use]
pub fn is_about_what_is_asked(code: &str) -> bool {
    [Code::ScopeViolation, Code::ActionMalformed].iter().any(|one| one.as_str() == code)
}

/// Whether a request says itself, in the fields by which enforcement points tell services whose it is, that it is somebody
/// else's than `shown`. Where a dry run lets it through, the service behind would believe that.
#[cfg(feature = "tower")]
#[must_use]
pub fn claims_another(headers: &http::HeaderMap, shown: Option<&VerifiedAgent>) -> bool {
    use crate::possession::{SERIAL_HEADER, SPIFFE_ID_HEADER};

    let other = |name: &str, is: &dyn Fn(&str, &VerifiedAgent) -> bool| {
        let mut said = headers.get_all(name).iter().filter(|value| !value.is_empty());
        said.any(|value| !value.to_str().ok().zip(shown).is_some_and(|(text, agent)| is(text, agent)))
    };
    other(SERIAL_HEADER, &|text, agent| text.parse().ok().as_ref() == Some(agent.serial()))
        || other(SPIFFE_ID_HEADER, &|text, agent| text == agent.spiffe_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(pattern: &str, method: Option<&str>, target: &str) -> bool {
        DryRun::new().route(pattern.parse().unwrap()).of_route(method, target)
    }

    #[test]
    fn a_route_is_a_method_and_a_path_or_all_below_one() {
        for (pattern, method, target) in [
            ("GET /reports/*", "GET", "/reports/"),
            ("GET /reports/*", "HEAD", "/reports/2026/11?full=1&a=/../x"),
            ("/reports/*", "DELETE", "/reports/caf%C3%A9"),
            ("* /reports", "PUT", "/reports"),
            ("/*", "GET", "/"),
            ("/*", "GET", "/a/b/"),
            ("/", "GET", "/"),
        ] {
            assert!(holds(pattern, Some(method), target), "{pattern}: {method} {target}");
        }
        for (pattern, method, target) in [
            ("GET /reports/*", "POST", "/reports/2026"),
            ("HEAD /reports/*", "GET", "/reports/2026"),
            ("GET /reports/*", "get", "/reports/2026"),
            ("/reports/*", "get", "/reports/2026"),
            ("/reports/*", "", "/reports/2026"),
            ("/reports/*", "GET", "/reports"),
            ("/reports/*", "GET", "/Reports/2026"),
            ("/reports/*", "GET", "/reports2026"),
            ("/reports/*", "GET", "/vault?/reports/"),
            ("/reports/*", "GET", "http://x/reports/2026"),
            ("/reports/*", "GET", "reports/2026"),
            ("/reports", "GET", "/reports/2026"),
            ("/reports", "GET", "/reports/"),
        ] {
            assert!(!holds(pattern, Some(method), target), "{pattern}: {method} {target}");
        }
        assert!(
            holds("/reports/*", None, "/reports/2026") && !holds("GET /reports/*", None, "/reports/2026")
        );
        assert!(DryRun::new().is_off() && !DryRun::new().of_route(Some("GET"), "/"));
    }

    #[test]
    fn what_can_be_read_in_more_than_one_way_is_of_no_route() {
        for target in [
            "/reports/../vault",
            "/reports/..%2fvault",
            "/reports/%2e%2e/vault",
            "/reports/%2E%2E%2Fvault",
            "/reports/..;/vault",
            "/reports/..\\vault",
            "/reports/.%2e/vault",
            "/reports//vault",
            "//reports/vault",
            "/reports/%252e%252e/vault",
            "/reports/%c0%ae%c0%ae/vault",
            "/reports/a#/vault",
            "/reports/a?_method=DELETE",
            "/vault/..%2freports/",
            "",
        ] {
            assert!(!holds("/reports/*", Some("GET"), target), "{target}");
            assert!(!holds("/*", Some("GET"), target), "{target}");
        }
    }

    #[test]
    fn what_is_no_route_is_not_taken_for_one() {
        for text in ["GET /reports/*", "* /reports", "* /*", "POST /a/b-c._~"] {
            assert_eq!(text.parse::<RoutePattern>().unwrap().to_string(), text);
        }
        assert_eq!("/reports/*".parse::<RoutePattern>().unwrap().to_string(), "* /reports/*");
        for text in [
            "",
            "*",
            "GET",
            "GET ",
            " /reports",
            "get /reports",
            "GET  /reports",
            "GET /reports ",
            "reports/*",
            "/reports*",
            "/*/reports",
            "/re*ports/*",
            "/**",
            "/reports/../*",
            "/reports//*",
            "/caf%C3%A9/*",
            "/reports/*?full",
            "https://x/reports",
            "/reports;a",
        ] {
            assert_eq!(text.parse::<RoutePattern>(), Err(RoutePatternError), "{text}");
        }
    }
}
