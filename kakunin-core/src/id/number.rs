//! Numbers of certificates and keys.

use core::fmt;
use core::str::FromStr;

use super::hex::{hex_decode, write_lower, write_upper};
use super::{Entropy, EntropyError, IdError};

/// A certificate serial number: 16 octets, positive, never zero (RFC 5280, 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial([u8; 16]);

impl Serial {
    /// A random serial: 126 bits of entropy, top bit clear so that the DER INTEGER stays 16 octets
    /// and positive, the next one set so that it is never zero and never shorter.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes)?;
        if let Some(first) = bytes.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        Ok(Self(bytes))
    }

    /// From 16 octets, if they are a serial number this profile issues.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let first = bytes.first().copied().unwrap_or(0x80);
        (first < 0x80 && bytes != [0; 16]).then_some(Self(bytes))
    }

    /// From the content octets of a DER INTEGER.
    #[must_use]
    pub fn from_der_integer(content: &[u8]) -> Option<Self> {
        content.try_into().ok().and_then(Self::from_bytes)
    }

    /// The 16 octets, which are also the content of the DER INTEGER.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for Serial {
    type Err = IdError;

    /// Accepts either case, and `:` or spaces between octets, as tools print serials.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).take(33).collect();
        hex_decode::<16>(&hex)
            .and_then(Self::from_bytes)
            .ok_or_else(|| IdError::new("serial number", text, "32 hex digits of a positive number"))
    }
}

impl TryFrom<String> for Serial {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_upper(f, &self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A certificate issuer: the key identifier of its key (RFC 7093, method 1), which is also the
/// authority key identifier in every certificate it signs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerId([u8; 20]);

impl IssuerId {
    /// From the 20 octets of a key identifier.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The 20 octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl TryFrom<String> for IssuerId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        hex_decode(&text).map(Self).ok_or_else(|| IdError::new("issuer id", &text, "40 hex digits"))
    }
}

impl From<IssuerId> for String {
    fn from(id: IssuerId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_lower(f, &self.0)
    }
}

impl fmt::Debug for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
