//! Where a deployment publishes CRLs and CA certificates: what certificates name, and what the server answers.

use core::net::IpAddr;

use crate::id::IssuerId;

/// Most octets of a public URL.
const MAX_LEN: usize = 256;

/// A public URL: `http(s)://host[:port][/path]`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published(String);

/// Not such a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// It is of another form.
    #[error("public URL `{0}` is not http(s)://host[:port][/path] without a slash at its end")]
    Form(String),
    /// Nobody reaches it.
    #[error(
        "nobody can reach public URL `{0}`, which every certificate would name for ever; write a host name or address \
         that relying parties know this service by"
    )]
    Nowhere(String),
}

impl Published {
    /// Takes a public URL.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub fn parse(url: &str) -> Result<Self, PublishedError> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        let fits = !rest.is_empty()
            && !rest.starts_with('/')
            && !url.ends_with('/')
            && url.len() <= MAX_LEN
            && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:/[]".contains(&b));
        let quoted =
            || url.chars().take(MAX_LEN).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect();
        if fits { Ok(Self(url.to_owned())) } else { Err(PublishedError::Form(quoted())) }
    }

    /// Takes a public URL for a deployment that is yet to be made: it names a host, and not every one or none.
    ///
    /// # Errors
    /// [`PublishedError`].
    pub fn for_new(url: &str) -> Result<Self, PublishedError> {
        let published = Self::parse(url)?;
        let host = published.host();
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let address = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            Some(name) => name.parse().ok().map(IpAddr::V6),
            None => name.parse().ok().map(IpAddr::V4),
        };
        let whole = address.is_some() || (is_host_name(name) && !ends_in_a_number(name));
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if !whole || !port_fits {
            return Err(PublishedError::Form(published.0));
        }
        if address.is_some_and(|address| address.is_unspecified()) {
            return Err(PublishedError::Nowhere(published.0));
        }
        Ok(published)
    }

    /// The name of its host, without the port, if it is a name that means the same elsewhere: no address, no `localhost`.
    #[must_use]
    pub fn host_name(&self) -> Option<String> {
        let name = self.host().split(':').next().unwrap_or_default().to_ascii_lowercase();
        let local = name.rsplit('.').next() == Some("localhost");
        (is_host_name(&name) && !local && !ends_in_a_number(&name)).then_some(name)
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host, and port if it is named.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// The URI of everything that an issuer revoked.
    #[must_use]
    pub fn full_crl(&self, issuer: &IssuerId) -> String {
        format!("{}/api/v1/crl/{issuer}/full.crl", self.0)
    }

    /// The URI of an issuer's own certificate.
    #[must_use]
    pub fn certificate(&self, issuer: &IssuerId) -> String {
        format!("{}/api/v1/ca/{issuer}.cer", self.0)
    }
}

/// A name of RFC 1123, 2.1, of at most 253 octets; `_` is let pass, as resolvers do.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// What ends in a number is an address, or is read as one by browsers.
fn ends_in_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    last.bytes().all(|b| b.is_ascii_digit())
        || hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_deployment_is_named_by_where_it_is() {
        for good in [
            "https://kakunin.example",
            "http://localhost:8080/base",
            "http://10.0.0.4:8080",
            "https://[2001:db8::1]",
            "https://[::1]:8443/a/b",
            "https://a_b-c.example:1",
            "http://0xlabs",
            "https://KAKUNIN.example",
            "http://4f2a9c",
        ] {
            assert_eq!(Published::for_new(good).map(|url| url.0), Ok(good.to_owned()));
        }
        for bad in [
            "http://:80",
            "http://a:b",
            "http://a:0",
            "http://a:65536",
            "http://a:1:2",
            "http://[",
            "http://[::1",
        ] {
            assert!(matches!(Published::for_new(bad), Err(PublishedError::Form(_))), "{bad}");
        }
        for bad in [
            "http://0X7f000001",
            "http://1.0X1",
            "http://a..b",
            "http://-a",
            "http://256.1.1.1",
            "http://1.2.3",
            "http://[10.0.0.1]",
            "http://a.",
        ] {
            assert!(matches!(Published::for_new(bad), Err(PublishedError::Form(_))), "{bad}");
        }
        for nowhere in ["http://0.0.0.0:8080", "https://[::]", "https://[0:0::0]:1/x"] {
            assert!(matches!(Published::for_new(nowhere), Err(PublishedError::Nowhere(_))), "{nowhere}");
        }
    }

    #[test]
    fn a_name_that_means_the_same_elsewhere_is_no_address() {
        let name = |url: &str| Published::parse(url).unwrap().host_name();
        assert_eq!(name("https://Kakunin.Example:8443/x").as_deref(), Some("kakunin.example"));
        for local in [
            "http://localhost",
            "http://a.localhost:1",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://0.0.0.0",
        ] {
            assert_eq!(name(local), None, "{local}");
        }
    }
}
