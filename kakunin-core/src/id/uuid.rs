//! Identifiers that are made here: UUIDv7 (RFC 9562, 5.7).

use core::fmt;
use core::str::FromStr;

use super::hex::{hex_decode, write_lower};
use super::{Entropy, EntropyError, IdError};
use crate::time::UnixTime;

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
                let mut rest = self.0.as_slice();
                for (len, dash) in [(4, "-"), (2, "-"), (2, "-"), (2, "-"), (6, "")] {
                    let (group, after) = rest.split_at_checked(len).ok_or(fmt::Error)?;
                    write_lower(f, group)?;
                    f.write_str(dash)?;
                    rest = after;
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
uuid_id!(
    /// An order that waits for a second person: a UUIDv7.
    ApprovalId,
    "approval id"
);
uuid_id!(
    /// An endpoint that deliveries go to: a UUIDv7.
    WebhookId,
    "webhook id"
);

fn uuid_from_text(text: &str) -> Option<[u8; 16]> {
    let dashes_fit =
        text.len() == 36 && [8, 13, 18, 23].iter().all(|&i| text.as_bytes().get(i) == Some(&b'-'));
    let hex: String = text.chars().filter(|&c| c != '-').collect();
    hex_decode::<16>(&hex).filter(|_| dashes_fit && !text.bytes().any(|b| b.is_ascii_uppercase()))
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
