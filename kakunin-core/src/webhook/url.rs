//! Where deliveries go: a URL in one spelling.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most octets of a URL.
pub const MAX_URL_LEN: usize = 2_048;
/// Most octets of a name in DNS.
const MAX_NAME_LEN: usize = 253;

/// Where deliveries go: `https://host[:port][/path][?query]`, without a name, a password or a fragment. An address in it has
/// its one spelling; whatever other programs would read as an address too (`0x7f.1`, `2130706433`) is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl {
    text: String,
    https: bool,
    host: Host,
}

/// Whom it names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Host {
    /// A name, in lower case.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// Why a text is no URL of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// More than [`MAX_URL_LEN`] octets.
    #[error("the URL has more than {MAX_URL_LEN} octets; shorten it")]
    TooLong,
    /// Neither http nor https.
    #[error("the URL begins neither with https:// nor with http://")]
    Scheme,
    /// A character that is not written as it is in a URL.
    #[error("the URL has a character that RFC 3986 does not have; write it with %, and names in Punycode")]
    Character,
    /// A name or password.
    #[error(
        "the URL has a name or password in it, which everybody would read who lists endpoints; leave it out"
    )]
    Credentials,
    /// A fragment.
    #[error("the URL has a fragment, which is never sent; leave it out")]
    Fragment,
    /// Neither a name nor an address in its usual form.
    #[error("the host of the URL is neither a name nor an address in its usual form")]
    Host,
    /// Not a port.
    #[error("the port of the URL is not a number from 1 to 65535")]
    Port,
}

impl UrlError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "webhook_url_malformed"
    }
}

impl WebhookUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_LEN {
            return Err(UrlError::TooLong);
        }
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(UrlError::Scheme),
        };
        // Some read `\` as `/`, and leave out what is not seen.
        if !text.bytes().all(|b| b.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&b)) {
            return Err(UrlError::Character);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlError::Credentials);
        }
        let host = host(authority)?;
        Ok(Self { text: text.to_owned(), https, host })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether nobody on the way can read along.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    pub(super) const fn host(&self) -> &Host {
        &self.host
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for WebhookUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        Self::parse(&text)
    }
}

impl From<WebhookUrl> for String {
    fn from(url: WebhookUrl) -> Self {
        url.text
    }
}

fn host(authority: &str) -> Result<Host, UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
        check_port(port)?;
        // A zone is of this machine alone.
        let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
        return Ok(Host::Address(address.into()));
    }
    let name = authority.split(':').next().unwrap_or_default();
    check_port(authority.get(name.len()..).unwrap_or_default())?;
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    if is_name(name) { Ok(Host::Name(name.to_ascii_lowercase())) } else { Err(UrlError::Host) }
}

/// What stands behind the host: nothing, or `:` and a port.
fn check_port(text: &str) -> Result<(), UrlError> {
    let Some(port) = text.strip_prefix(':') else {
        return if text.is_empty() { Ok(()) } else { Err(UrlError::Port) };
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0');
    if digits && port.parse::<u16>().is_ok() { Ok(()) } else { Err(UrlError::Port) }
}

/// Whether it is a name in DNS that nobody reads as a number.
pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let fits = (1..=63).contains(&label.len());
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        fits && label.bytes().all(known) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    name.len() <= MAX_NAME_LEN && name.split('.').all(label) && !is_number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_is_written() {
        for good in [
            "https://example.com",
            "https://example.com/",
            "https://example.com:8443/a/b?c=d&e=%20",
            "http://a.b-c.example",
            "https://xn--bcher-kva.example/hook",
            "https://1.2.3.4/",
            "https://[2606:4700::1]:1/x",
            "https://_hook.example/?x",
            "https://host/a@b",
            "https://3com.example",
            "https://localhost",
        ] {
            let url = WebhookUrl::parse(good).unwrap();
            assert_eq!((url.as_str(), url.is_https()), (good, good.starts_with("https")));
            assert_eq!(
                serde_json::from_value::<WebhookUrl>(serde_json::to_value(&url).unwrap()).unwrap(),
                url
            );
        }
        assert_eq!(
            WebhookUrl::parse("https://EXAMPLE.com").unwrap().host(),
            &Host::Name("example.com".into())
        );
        assert_eq!(
            WebhookUrl::parse("https://[::ffff:7f00:1]").unwrap().host(),
            &Host::Address("::ffff:127.0.0.1".parse().unwrap())
        );
    }

    #[test]
    fn what_two_programs_would_read_differently_is_refused() {
        for (bad, why) in [
            ("", UrlError::Scheme),
            ("example.com", UrlError::Scheme),
            ("ftp://example.com", UrlError::Scheme),
            ("HTTPS://example.com", UrlError::Scheme),
            (" https://example.com", UrlError::Scheme),
            ("https://user@example.com", UrlError::Credentials),
            ("https://u:p@example.com", UrlError::Credentials),
            ("https://example.com@127.0.0.1/", UrlError::Credentials),
            ("https://example.com/#x", UrlError::Fragment),
            ("https://example.com#@127.0.0.1", UrlError::Fragment),
            ("https://exam ple.com", UrlError::Character),
            ("https://example.com\\@127.0.0.1", UrlError::Character),
            ("https://127.0.0.1\t.example", UrlError::Character),
            ("https://１２７.0.0.1", UrlError::Character),
            ("https://bücher.example", UrlError::Character),
            ("https://", UrlError::Host),
            ("https:///x", UrlError::Host),
            ("https://?x", UrlError::Host),
            ("https://.", UrlError::Host),
            ("https://example.com.", UrlError::Host),
            ("https://a..b", UrlError::Host),
            ("https://-a.example", UrlError::Host),
            ("https://%31%32%37.0.0.1", UrlError::Host),
            ("https://2130706433", UrlError::Host),
            ("https://0x7f000001", UrlError::Host),
            ("https://0x7f.1", UrlError::Host),
            ("https://0177.0.0.1", UrlError::Host),
            ("https://127.1", UrlError::Host),
            ("https://127.0.0.1.", UrlError::Host),
            ("https://127.0.0.01", UrlError::Host),
            ("https://256.0.0.1", UrlError::Host),
            ("https://a.0x", UrlError::Host),
            ("https://[::1", UrlError::Host),
            ("https://[fe80::1%25eth0]", UrlError::Host),
            ("https://[1.2.3.4]", UrlError::Host),
            ("https://example.com:0", UrlError::Port),
            ("https://example.com:65536", UrlError::Port),
            ("https://example.com:", UrlError::Port),
            ("https://example.com:080", UrlError::Port),
            ("https://example.com:8x", UrlError::Port),
            ("https://[::1]x", UrlError::Port),
            ("https://a:1:2", UrlError::Port),
        ] {
            assert_eq!(WebhookUrl::parse(bad), Err(why), "{bad}");
        }
        let long = format!("https://example.com/{}", "x".repeat(MAX_URL_LEN));
        assert_eq!(WebhookUrl::parse(&long[..MAX_URL_LEN]).map(|url| url.as_str().len()), Ok(MAX_URL_LEN));
        assert_eq!(WebhookUrl::parse(&long), Err(UrlError::TooLong));
        assert_eq!(WebhookUrl::parse(&format!("https://{}.example", "x".repeat(64))), Err(UrlError::Host));
    }
}
