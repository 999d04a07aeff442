//! Identifiers: parsed once, then carried as types.

use core::fmt;
use core::str::FromStr;

use crate::time::UnixTime;

/// Why a text is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{value}` is malformed: {rule}")]
pub struct IdError {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

impl IdError {
    fn new(kind: &'static str, value: &str, rule: &'static str) -> Self {
        // What a caller sent may be long or unprintable; an error quotes only its beginning.
        let value = value.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect();
        Self { kind, value, rule }
    }

    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "malformed_id"
    }
}

/// Fills buffers with unpredictable bytes. Entropy is an argument, as time is.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `out`; an error means that nothing in `out` may be used.
    ///
    /// # Errors
    /// When the source of randomness is not available.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's source of randomness is not available; nothing was issued")]
pub struct EntropyError;

/// The operating system's source of randomness.
#[cfg(feature = "service")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

#[cfg(feature = "service")]
impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(out).map_err(|_| EntropyError)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        ///
        /// `[a-z0-9]` then up to 62 of `[a-z0-9_-]`: fits a SPIFFE path segment and a log origin.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text of this identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_label(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::new($kind, text, "1 to 63 of a-z 0-9 _ -, the first a letter or digit"))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A tenant: the owner of agents, of one log, and of nothing of another tenant's.
    TenantId,
    "tenant id"
);
text_id!(
    /// A deployment environment, such as `production` or `staging`.
    Environment,
    "environment"
);

/// A SPIFFE trust domain, such as `agents.example.org` (SPIFFE ID, section 2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The text of this trust domain.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let ok = (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if ok {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::new("trust domain", text, "1 to 255 of a-z 0-9 . _ -"))
        }
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(id: TrustDomain) -> Self {
        id.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new identifier made at `now`.
            ///
            /// # Errors
            /// When there is no randomness.
            pub fn generate(now: UnixTime, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
                uuid_v7(now, entropy).map(Self)
            }

            /// From its 16 octets.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 octets.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                uuid_from_text(text)
                    .map(Self)
                    .ok_or_else(|| IdError::new($kind, text, "a UUID in lower case with hyphens"))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (i, byte) in self.0.iter().enumerate() {
                    if matches!(i, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_id!(
    /// An agent: a UUIDv7 (RFC 9562), stable over renewals of its certificate.
    AgentId,
    "agent id"
);
uuid_id!(
    /// A stop that somebody ordered: a UUIDv7.
    HaltId,
    "halt id"
);
uuid_id!(
    /// A key of the API: a UUIDv7, which is not secret.
    ApiKeyId,
    "API key id"
);
uuid_id!(
    /// A join token: a UUIDv7, which is not secret.
    JoinTokenId,
    "join token id"
);

fn uuid_from_text(text: &str) -> Option<[u8; 16]> {
    let dashes_fit =
        text.len() == 36 && [8, 13, 18, 23].iter().all(|&i| text.as_bytes().get(i) == Some(&b'-'));
    let hex: String = text.chars().filter(|&c| c != '-').collect();
    hex_decode::<16>(&hex).filter(|_| dashes_fit && !text.bytes().any(|b| b.is_ascii_uppercase()))
}

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
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
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
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A UUIDv7 (RFC 9562, 5.7): Unix milliseconds, then random bits.
///
/// # Errors
/// When there is no randomness.
pub fn uuid_v7(now: UnixTime, entropy: &dyn Entropy) -> Result<[u8; 16], EntropyError> {
    let mut random = [0; 10];
    entropy.fill(&mut random)?;
    let [_, _, time @ ..] = now.millis().to_be_bytes();
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(time.iter().chain(&random)) {
        *to = *from;
    }
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x70;
    *variant = (*variant & 0x3f) | 0x80;
    Ok(bytes)
}

/// Whether `text` is a label: `[a-z0-9]` then up to 62 of `[a-z0-9_-]`.
pub(crate) fn is_label(text: &str) -> bool {
    let start = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    start
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// Decodes exactly `N` octets of hex, either case.
#[must_use]
pub fn hex_decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.is_ascii() {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = core::str::from_utf8(pair).ok().and_then(|p| {
            p.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(p, 16).ok()).flatten()
        })?;
    }
    Some(out)
}

/// Lower-case hex of `bytes`.
#[must_use]
pub fn hex_encode(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Same(u8);

    impl Entropy for Same {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(self.0);
            Ok(())
        }
    }

    #[test]
    fn serials_are_positive_and_sixteen_octets() {
        for byte in [0, 0x7f, 0x80, 0xff] {
            let serial = Serial::generate(&Same(byte)).unwrap();
            assert!(serial.as_bytes()[0] & 0xc0 == 0x40, "{serial}");
            assert_eq!(serial.to_string().parse(), Ok(serial));
            assert_eq!(Serial::from_der_integer(serial.as_bytes()), Some(serial));
        }
        assert!(Serial::from_bytes([0; 16]).is_none() && Serial::from_bytes([0x80; 16]).is_none());
    }

    #[test]
    fn serials_are_read_as_tools_print_them() {
        let serial: Serial = "0A1B2C3D4E5F60718293A4B5C6D7E8F9".parse().unwrap();
        assert_eq!("0a:1b:2c:3d:4e:5f:60:71:82:93:a4:b5:c6:d7:e8:f9".parse(), Ok(serial));
        for bad in ["", "0A1B", "0A1B2C3D4E5F60718293A4B5C6D7E8F9AA", "+A1B2C3D4E5F60718293A4B5C6D7E8F9"] {
            assert!(bad.parse::<Serial>().is_err(), "{bad}");
        }
    }

    #[test]
    fn agent_ids_are_uuid_v7() {
        let id = AgentId::generate(UnixTime::from_millis(0x0192_3456_789a), &Same(0xff)).unwrap();
        assert_eq!(id.to_string(), "01923456-789a-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("01923456-789A-7fff-bfff-ffffffffffff".parse::<AgentId>().is_err());
        assert!("01923456789a-7fff-bfff-ffffffffffff-".parse::<AgentId>().is_err());
    }

    #[test]
    fn labels_fit_a_spiffe_segment() {
        for good in ["a", "tnt_01", "production", "0-x"] {
            assert!(good.parse::<TenantId>().is_ok(), "{good}");
        }
        for bad in ["", "_system", "A", "a/b", "a b", "é", "..", &"a".repeat(64)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
        assert!("agents.example.org".parse::<TrustDomain>().is_ok());
        assert!("agents.example.org:80".parse::<TrustDomain>().is_err());
    }

    #[test]
    fn errors_quote_little_and_nothing_unprintable() {
        let error = ("x\u{7}\n".repeat(100)).parse::<TenantId>().unwrap_err();
        assert!(error.to_string().len() < 200 && !error.to_string().contains('\n'));
    }
}
