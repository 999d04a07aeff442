//! Under which names a service is reached: a request that was signed for another is not for it.

use core::fmt;
use core::net::Ipv6Addr;
use core::str::FromStr;
use std::sync::Arc;

/// Most names of one service: a signature may be tried against each.
const MOST: usize = 16;
/// Most octets of a host's name (RFC 1035, 2.3.4).
const MAX_HOST_LEN: usize = 253;

/// `host` or `host:port`, as signatures cover it (RFC 9421, 2.2.3): lower case, without the scheme's default port.
///
/// ```
/// use kakunin_verify::possession::Authority;
///
/// let name = |text: &str| text.parse::<Authority>().unwrap().to_string();
/// assert_eq!(name("API.example.org:443"), "api.example.org");
/// assert_eq!(name("http://api.example.org:80/path"), "api.example.org");
/// assert_eq!(name("[2001:DB8:0::1]:8443"), "[2001:db8::1]:8443");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority(Arc<str>);

/// Not a name, or not what one service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// No host, or more than host and port.
    #[error("not the name of a service: write `api.example.org`, `api.example.org:8443` or its https URL")]
    Name,
    /// None at all.
    #[error("a service knows its own names: name at least one host under which agents reach it")]
    None,
    /// Too many.
    #[error("one service has at most {MOST} names")]
    TooMany,
}

impl Authority {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    /// Reads `host`, `host:port`, or a URL of http or https; without a scheme the port of https is the default.
    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        read(&text.to_ascii_lowercase()).map(|name| Self(name.into())).ok_or(AuthorityError::Name)
    }
}

fn read(text: &str) -> Option<String> {
    let (text, default) = match text.split_once("://") {
        None => (text, 443),
        Some(("https", rest)) => (until_path(rest), 443),
        Some(("http", rest)) => (until_path(rest), 80),
        Some(_) => return None,
    };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            let port = if port.is_empty() { "" } else { port.strip_prefix(':')? };
            (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
            let fits = (1..=MAX_HOST_LEN).contains(&host.len()) && host.bytes().all(plain);
            (fits.then(|| host.to_owned())?, port)
        }
    };
    match port {
        "" => Some(host),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => match digits.parse::<u16>().ok()? {
            0 => None,
            port if port == default => Some(host),
            port => Some(format!("{host}:{port}")),
        },
        _ => None,
    }
}

fn until_path(text: &str) -> &str {
    text.split(['/', '?', '#']).next().unwrap_or_default()
}

/// The names of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(Arc<[Authority]>);

impl Authorities {
    /// A service that agents reach under each of these names, such as `api.example.org`.
    ///
    /// # Errors
    /// [`AuthorityError`] if there is none, one is none, or there are more than 16.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Result<Self, AuthorityError> {
        let names = names.into_iter().map(|name| name.as_ref().parse()).collect::<Result<Vec<_>, _>>()?;
        Self::of(names)
    }

    /// The same, of names that were read already.
    ///
    /// # Errors
    /// As [`Authorities::new`].
    pub fn of(names: Vec<Authority>) -> Result<Self, AuthorityError> {
        match names.len() {
            0 => Err(AuthorityError::None),
            1..=MOST => Ok(Self(names.into())),
            _ => Err(AuthorityError::TooMany),
        }
    }

    /// A service that no signed request is for: its agents show themselves by mutual TLS alone.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Each name.
    pub fn iter(&self) -> impl Iterator<Item = &Authority> {
        self.0.iter()
    }

    /// Each name, first the one that a request says it was sent to, if that is one of them.
    pub(super) fn likely_first(&self, sent_to: Option<&Authority>) -> impl Iterator<Item = &Authority> {
        let likely = self.0.iter().filter(move |name| Some(*name) == sent_to);
        likely.chain(self.0.iter().filter(move |name| Some(*name) != sent_to))
    }

    pub(super) fn holds(&self, name: &Authority) -> bool {
        self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_one_form() {
        for (text, name) in [
            ("API.Example.ORG", "api.example.org"),
            ("api.example.org:443", "api.example.org"),
            ("api.example.org:", "api.example.org"),
            ("api.example.org:80", "api.example.org:80"),
            ("HTTP://api.example.org:080", "api.example.org"),
            ("http://api.example.org:443/x", "api.example.org:443"),
            ("https://api.example.org?x", "api.example.org"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::0:1]:08443", "[::1]:8443"),
            ("https://[::1]/", "[::1]"),
        ] {
            assert_eq!(text.parse::<Authority>().unwrap().as_str(), name, "{text}");
        }
        let long = "a".repeat(254);
        for bad in [
            "",
            ":80",
            "a:b",
            "a:0",
            "a:65536",
            "a:+80",
            "a b",
            "a/b",
            "user@a",
            "a,b",
            "ftp://a",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "::1",
            "\u{e9}.example",
            "a\n",
            "https://",
            &long,
        ] {
            assert_eq!(bad.parse::<Authority>(), Err(AuthorityError::Name), "{bad:?}");
        }
    }

    #[test]
    fn a_service_has_some_names_and_says_so() {
        assert_eq!(Authorities::new::<&str>([]), Err(AuthorityError::None));
        assert_eq!(Authorities::new(["a", "b c"]), Err(AuthorityError::Name));
        assert_eq!(Authorities::new(vec!["a"; MOST + 1]), Err(AuthorityError::TooMany));
        let both = Authorities::new(["a", "b"]).unwrap();
        let order = |sent_to: &str| {
            let sent_to = sent_to.parse().ok();
            both.likely_first(sent_to.as_ref()).map(Authority::as_str).collect::<Vec<_>>()
        };
        assert_eq!((order("b"), order("c"), order("")), (vec!["b", "a"], vec!["a", "b"], vec!["a", "b"]));
        assert_eq!(Authorities::none().iter().count(), 0);
    }
}
