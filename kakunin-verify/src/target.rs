//! What a request asks for: its path, where everybody who reads it reads the same, and the action that is.
//!
//! Gateways, frameworks and file systems decode, resolve and compare paths each in their own way, and an agent picks
//! the spelling. `/pay/../vault` is below `/pay` for whoever compares texts, and the vault for whoever resolves. So
//! what could be read twice is refused before it is mapped, never normalised: [`path`]. [`Routes`] maps the rest, by
//! whole segments, and denies what is not mapped.

use std::borrow::Cow;

use kakunin_core::scope::{Action, ScopeError};

use crate::denied::{Code, Denied};

/// Most octets of a target.
pub const MAX_TARGET_LEN: usize = 8_192;

/// Fields by which a client can ask for another method or path than the request line says, where frameworks
/// believe them.
pub const OVERRIDE_HEADERS: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];

/// The path of `target`, an origin form (RFC 9112, 3.2.1), if there is one way to read it.
///
/// Refused are, in the path: dot segments, empty segments but for the one after a last `/`, segments that end with a
/// dot or space, `\`, `;`, `#` and control characters, raw or encoded; encoded `/`, `?`, `%`, and encoded characters
/// that need no encoding (RFC 3986, 2.3); what is not ASCII and not encoded, or encoded and not UTF-8; characters
/// that look like one of these to whoever folds Unicode or to people. What follows `?` is not looked at, but for
/// control characters and `#`.
///
/// ```
/// use kakunin_verify::target::path;
///
/// assert_eq!(path("/pay/caf%C3%A9?full=1").unwrap(), "/pay/caf%C3%A9");
/// for bad in ["/pay/../vault", "/pay/..%2fvault", "/pay/%2e%2e/vault", "/pay//vault", "/pay/..;/vault", "vault"] {
///     assert_eq!(path(bad).unwrap_err().code(), "target_ambiguous");
/// }
/// ```
///
/// # Errors
/// [`Code::TargetAmbiguous`], with what is wrong.
pub fn path(target: &str) -> Result<&str, Denied> {
    if target.len() > MAX_TARGET_LEN {
        return Err(ambiguous("longer than 8192 octets"));
    }
    if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(ambiguous("a character that has to be encoded"));
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let below = path.strip_prefix('/').ok_or_else(|| ambiguous("no path that begins with `/`"))?;
    if below.is_empty() {
        return Ok(path);
    }
    let mut segments = below.split('/').peekable();
    while let Some(segment) = segments.next() {
        if !segment.is_empty() {
            check(segment).map_err(ambiguous)?;
        } else if segments.peek().is_some() {
            return Err(ambiguous("an empty segment"));
        }
    }
    Ok(path)
}

/// As [`path`], of a target whose query names no other method: frameworks that read `_method` in forms find it there too,
/// and serve something else than the request line says.
///
/// # Errors
/// [`Code::TargetAmbiguous`], with what is wrong.
pub fn plain_target(target: &str) -> Result<&str, Denied> {
    let path = path(target)?;
    if target.get(path.len()..).is_some_and(names_method) {
        return Err(ambiguous("`_method` in the query"));
    }
    Ok(path)
}

/// Whether `method` is one that everybody writes the same: 1 to 16 letters A to Z.
#[must_use]
pub fn is_plain_method(method: &str) -> bool {
    (1..=16).contains(&method.len()) && method.bytes().all(|b| b.is_ascii_uppercase())
}

/// A refusal of a request that can be read in more than one way.
#[must_use]
pub fn ambiguous(why: &'static str) -> Denied {
    Denied::about(Code::TargetAmbiguous, why)
}

fn check(segment: &str) -> Result<(), &'static str> {
    if !segment.bytes().all(|b| is_unreserved(b) || b"%!$&'()*+,=:@".contains(&b)) {
        return Err("a character that some readers take for a separator");
    }
    let decoded = decode(segment)?;
    if decoded.chars().any(is_lookalike) {
        return Err("an encoded character that some readers take for another");
    }
    if decoded.ends_with(['.', ' ']) || decoded.starts_with(' ') {
        return Err("a dot segment, or a segment that begins or ends as file systems ignore it");
    }
    Ok(())
}

pub(crate) const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn decode(segment: &str) -> Result<Cow<'_, str>, &'static str> {
    let Some((plain, mut rest)) = segment.split_once('%') else { return Ok(Cow::Borrowed(segment)) };
    let mut octets = plain.as_bytes().to_vec();
    loop {
        let digits = rest.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let octet = octet.ok_or("a `%` without two hexadecimal digits")?;
        if is_unreserved(octet) || octet.is_ascii_control() || br"/\;?#%".contains(&octet) {
            return Err("an encoded character that some readers decode and others do not");
        }
        octets.push(octet);
        let (plain, next) = match rest.get(2..).unwrap_or_default().split_once('%') {
            Some((plain, next)) => (plain, Some(next)),
            None => (rest.get(2..).unwrap_or_default(), None),
        };
        octets.extend_from_slice(plain.as_bytes());
        match next {
            Some(next) => rest = next,
            None => {
                return String::from_utf8(octets)
                    .map(Cow::Owned)
                    .map_err(|_| "encoded octets that are not UTF-8");
            }
        }
    }
}

// What is not seen, turns the direction, or becomes a separator or letter of ASCII when somebody folds case, maps
// compatibility characters (UAX 15: `\u{fe30}` is two dots, `\u{ff0f}` a slash, `\u{212a}` a K) or fits to a code page of
// Windows (`\u{a5}` is a backslash). Whole blocks, where most of one does.
const fn is_lookalike(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{bf}' | '\u{130}'..='\u{131}' | '\u{17f}' | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}'
        | '\u{2b0}'..='\u{2b8}' | '\u{2d8}'..='\u{2e3}' | '\u{37a}'..='\u{385}' | '\u{600}'..='\u{605}' | '\u{61c}'
        | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{1680}' | '\u{180e}'
        | '\u{1d2c}'..='\u{1dbb}' | '\u{1fbd}'..='\u{2bff}' | '\u{2c7c}'..='\u{2c7d}' | '\u{3000}'..='\u{3002}'
        | '\u{3200}'..='\u{33ff}' | '\u{a7f2}'..='\u{a7f4}' | '\u{fb00}'..='\u{fb06}' | '\u{fb29}'
        | '\u{fc5e}'..='\u{fc63}' | '\u{fdfa}'..='\u{fe7f}' | '\u{feff}'..='\u{ff65}' | '\u{ffe0}'..='\u{ffff}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{1d400}'..='\u{1d7ff}'
        | '\u{1f100}'..='\u{1f1ff}' | '\u{1fbf0}'..='\u{1fbf9}' | '\u{e0000}'..='\u{e0fff}')
}

/// Which action a request is, by its method and the whole segments of its path. What is not mapped is denied.
///
/// A rule holds for its path, with and without `/` at the end, and for everything below; the longest wins, and only
/// its methods count. `GET` includes `HEAD`; `*` is every method that no other rule of the same path names. A query that
/// names `_method` is refused; one in a form is in the body, which nobody looks at here.
///
/// ```
/// use kakunin_verify::target::Routes;
///
/// # fn main() -> Result<(), kakunin_verify::target::RouteError> {
/// let routes = Routes::new()
///     .route("POST", "/payments", "write:payments")?
///     .route("*", "/payments/admin", "manage:payments")?;
/// let action = |method, target| routes.action(method, target).map(|action| action.to_string());
/// assert_eq!(action("POST", "/payments/17?draft"), Ok("write:payments".to_owned()));
/// assert_eq!(action("POST", "/payments/admin"), Ok("manage:payments".to_owned()));
/// for (method, target) in [("GET", "/payments"), ("POST", "/paymentsroll"), ("POST", "/payments/Admin")] {
///     assert!(action(method, target).is_err());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    method: String,
    segments: Vec<String>,
    action: Action,
}

/// Not a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// The method is not 1 to 16 letters A to Z, nor `*`.
    #[error("`{0}` is not a method; write it in capital letters, or `*`")]
    Method(String),
    /// The path could be read in more than one way, or has other characters than rules compare.
    #[error("`{0}` is not a path of segments of A-Z a-z 0-9 - . _ ~")]
    Path(String),
    /// The action is none.
    #[error(transparent)]
    Action(#[from] ScopeError),
    /// Method and path have an action already.
    #[error("`{0} {1}` has an action already; keep one")]
    Twice(String, String),
}

impl Routes {
    /// A table that denies everything.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The table with one more rule. Segments are of unreserved characters (RFC 3986, 2.3), which have one spelling.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn route(mut self, method: &str, path: &str, action: &str) -> Result<Self, RouteError> {
        if method != "*" && !is_plain_method(method) {
            return Err(RouteError::Method(method.to_owned()));
        }
        let plain = self::path(path) == Ok(path) && path.bytes().all(|b| is_unreserved(b) || b == b'/');
        if !plain {
            return Err(RouteError::Path(path.to_owned()));
        }
        let rule = Rule {
            method: method.to_owned(),
            segments: segments(path).map(str::to_owned).collect(),
            action: action.parse()?,
        };
        // Paths that differ by case alone are one to some services.
        let same = |other: &Rule| {
            other.method == rule.method && other.holds(&rule.segments) == Some(rule.segments.len())
        };
        if self.0.iter().any(same) {
            return Err(RouteError::Twice(method.to_owned(), path.to_owned()));
        }
        self.0.push(rule);
        Ok(self)
    }

    /// The action of a request with this method and target, an origin form.
    ///
    /// # Errors
    /// [`Code::TargetAmbiguous`] if method or path can be read in more than one way, by letter case too;
    /// [`Code::ActionMalformed`] if no rule names an action.
    pub fn action(&self, method: &str, target: &str) -> Result<&Action, Denied> {
        let path = plain_target(target)?;
        if !is_plain_method(method) {
            return Err(ambiguous("a method that is not of capital letters"));
        }
        let asked: Vec<&str> = segments(path).collect();
        let longest = self.0.iter().filter_map(|rule| rule.holds(&asked)).max();
        let longest = longest.ok_or(Denied::new(Code::ActionMalformed))?;
        let rules = || self.0.iter().filter(|rule| rule.holds(&asked) == Some(longest));
        if !rules().all(|rule| rule.segments.iter().zip(&asked).all(|(own, asked)| own == asked)) {
            return Err(ambiguous("a path that differs from a known one by letter case alone"));
        }
        let named = |name: &str| rules().find(|rule| rule.method == name);
        let rule = named(method).or_else(|| named("GET").filter(|_| method == "HEAD")).or_else(|| named("*"));
        rule.map(|rule| &rule.action).ok_or(Denied::new(Code::ActionMalformed))
    }

    /// The action of a request, for an [`AgentLayer`](crate::layer::AgentLayer).
    #[cfg(feature = "tower")]
    #[must_use]
    pub fn of(&self, request: &http::request::Parts) -> Option<String> {
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        self.action(request.method.as_str(), target).ok().map(ToString::to_string)
    }
}

impl Rule {
    /// How many segments it holds `asked` by, in whatever letter case.
    fn holds<T: AsRef<str>>(&self, asked: &[T]) -> Option<usize> {
        let own = self.segments.len();
        let begins = own <= asked.len()
            && self.segments.iter().zip(asked).all(|(own, asked)| own.eq_ignore_ascii_case(asked.as_ref()));
        begins.then_some(own)
    }
}

/// Whether frameworks that read a form's `_method` find one in the query.
fn names_method(query: &str) -> bool {
    query.split(['?', '&', ';']).any(|one| {
        let name = one.split_once('=').map_or(one, |(name, _)| name);
        decode(name).map_or(true, |name| name.eq_ignore_ascii_case("_method"))
    })
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

/// Whether a request asks for one thing only, whoever reads it.
///
/// # Errors
/// [`Code::TargetAmbiguous`] for its path, its method, `_method` in its query, or one of [`OVERRIDE_HEADERS`].
#[cfg(feature = "tower")]
pub fn plain(request: &http::request::Parts) -> Result<(), Denied> {
    if let Some(name) = OVERRIDE_HEADERS.iter().find(|name| request.headers.contains_key(**name)) {
        return Err(ambiguous(name));
    }
    if !is_plain_method(request.method.as_str()) {
        return Err(ambiguous("a method that is not of capital letters"));
    }
    plain_target(request.uri.path_and_query().map_or("/", |target| target.as_str())).map(drop)
}
