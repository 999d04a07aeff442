//! Where a deployment publishes CRLs and CA certificates: what certificates name, and what the server answers.

use crate::id::IssuerId;

/// Most octets of a public URL.
const MAX_LEN: usize = 256;

/// A public URL: `http(s)://host[:port][/path]`, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published(String);

/// Not such a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("public URL `{0}` is not http(s)://host[:port][/path] without a slash at its end")]
pub struct PublishedError(String);

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
        if fits { Ok(Self(url.to_owned())) } else { Err(PublishedError(quoted())) }
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
