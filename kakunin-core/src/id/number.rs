//! Numbers of certificates and keys.

use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use super::hex::{hex_decode, write_lower, write_upper};
use super::{Entropy, EntropyError, IdError};

/// The serial number of any certificate: positive, never zero, at most 20 octets (RFC 5280, 4.1.2.2).
///
/// Kept as a number, so that there is one value for each, and leading zeros make no difference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialNumber([u8; 20]);

impl SerialNumber {
    /// From the content octets of a DER INTEGER, with or without the zero octet that keeps it positive.
    #[must_use]
    pub fn from_der_integer(content: &[u8]) -> Option<Self> {
        let digits = content.get(content.iter().position(|octet| *octet != 0)?..)?;
        let mut octets = [0; 20];
        let start = octets.len().checked_sub(digits.len())?;
        octets.get_mut(start..)?.copy_from_slice(digits);
        // One whose top bit is set takes a 21st octet.
        octets.first().filter(|first| **first < 0x80)?;
        Some(Self(octets))
    }

    /// Its octets, without leading zeros: 1 to 20.
    #[must_use]
    pub fn digits(&self) -> &[u8] {
        let start = self.0.iter().position(|octet| *octet != 0).unwrap_or_default();
        self.0.get(start..).unwrap_or_default()
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_upper(f, self.digits())
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The serial number of a certificate that is issued here: a [`SerialNumber`] of 16 octets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial(SerialNumber);

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
        Ok(Self::padded(bytes))
    }

    /// From 16 octets, if they are a serial number this profile issues.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let first = bytes.first().copied().unwrap_or(0x80);
        (first < 0x80 && bytes != [0; 16]).then_some(Self::padded(bytes))
    }

    /// From the content octets of a DER INTEGER.
    #[must_use]
    pub fn from_der_integer(content: &[u8]) -> Option<Self> {
        content.try_into().ok().and_then(Self::from_bytes)
    }

    /// The 16 octets, which are also the content of the DER INTEGER.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        let [_, _, _, _, bytes @ ..] = &self.0.0;
        bytes
    }

    fn padded(bytes: [u8; 16]) -> Self {
        let mut octets = [0; 20];
        octets.iter_mut().skip(4).zip(bytes).for_each(|(to, from)| *to = from);
        Self(SerialNumber(octets))
    }
}

/// Whoever looks up anybody's serial numbers looks up ours as well.
impl Deref for Serial {
    type Target = SerialNumber;

    fn deref(&self) -> &SerialNumber {
        &self.0
    }
}

impl From<Serial> for SerialNumber {
    fn from(serial: Serial) -> Self {
        serial.0
    }
}

impl PartialEq<Serial> for SerialNumber {
    fn eq(&self, other: &Serial) -> bool {
        *self == other.0
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
        write_upper(f, self.as_bytes())
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
