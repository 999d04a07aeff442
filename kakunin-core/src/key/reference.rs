//! How a key is named: before it exists, and at its provider.

use core::fmt;

/// Reference to a key in its provider: an ARN, a token object, a file name. Never key material.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct KeyRef(String);

impl KeyRef {
    /// Takes a provider's reference.
    #[must_use]
    pub fn new(reference: impl Into<String>) -> Self {
        Self(reference.into())
    }

    /// The reference.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlannedKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identifier under which a key is planned before it exists: a UUIDv7 in hex, written to the log
/// first, so that a key made by a call that never returned can be found and retired.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PlannedKeyId(String);

impl PlannedKeyId {
    /// From 16 octets.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(crate::id::hex_encode(&bytes))
    }

    /// From text a provider stored: 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        crate::id::hex_decode::<16>(text).filter(|_| lower).map(Self::new)
    }

    /// The 16 octets.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        // Both ways to make one see to it that it decodes.
        crate::id::hex_decode(&self.0).unwrap_or_default()
    }

    /// 32 lower-case hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key a provider holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// Under which identifier it was planned.
    pub planned: PlannedKeyId,
    /// How to open it.
    pub key: KeyRef,
}
