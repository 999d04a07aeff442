//! What a delivery is signed with.

use core::fmt;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::scheme::Scheme;
use crate::id::{Entropy, EntropyError, hex_encode};

/// What every secret begins with.
const PREFIX: &str = "whsec_";
/// Octets of a new one.
const LEN: usize = 32;
/// Octets that Standard Webhooks allows.
const STANDARD: core::ops::RangeInclusive<usize> = 24..=64;
/// How much of its end is shown, so that people tell two apart.
const HINT: usize = 4;

/// The secret that an endpoint and its deployment share. Wiped when dropped, and never shown but by
/// [`WebhookSecret::reveal`].
///
/// `whsec_` and the base64 of 24 to 64 octets, which are the key (Standard Webhooks); with the vendor's schemes `whsec_`
/// and 64 hex digits, and the key is the text itself.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret {
    text: Zeroizing<String>,
    key: Zeroizing<Vec<u8>>,
}

/// Not a secret of this scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a secret of the scheme {0}; it begins with `whsec_`, as it was shown when the endpoint was made"
)]
pub struct SecretError(pub Scheme);

impl WebhookSecret {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(scheme: Scheme, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut octets = Zeroizing::new([0; LEN]);
        entropy.fill(&mut *octets)?;
        Ok(match scheme {
            Scheme::Standard => {
                let text = Zeroizing::new(format!("{PREFIX}{}", Base64::encode_string(&*octets)));
                Self { text, key: Zeroizing::new(octets.to_vec()) }
            }
            _ => {
                let text = Zeroizing::new(format!("{PREFIX}{}", hex_encode(&*octets)));
                Self { key: Zeroizing::new(text.as_bytes().to_vec()), text }
            }
        })
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(scheme: Scheme, text: &str) -> Result<Self, SecretError> {
        let rest = text.strip_prefix(PREFIX).ok_or(SecretError(scheme))?;
        let key = match scheme {
            Scheme::Standard => {
                let key = Zeroizing::new(Base64::decode_vec(rest).map_err(|_| SecretError(scheme))?);
                Some(key).filter(|key| STANDARD.contains(&key.len()))
            }
            _ => {
                let hex = rest.len() == 2 * LEN && rest.bytes().all(|b| b.is_ascii_hexdigit());
                hex.then(|| Zeroizing::new(text.as_bytes().to_vec()))
            }
        };
        Ok(Self { text: Zeroizing::new(text.to_owned()), key: key.ok_or(SecretError(scheme))? })
    }

    /// The text, to be handed to its owner once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Its last characters.
    #[must_use]
    pub fn hint(&self) -> String {
        self.text.chars().skip(self.text.chars().count().saturating_sub(HINT)).collect()
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemEntropy;

    #[test]
    fn a_secret_is_read_as_it_is_shown_and_shows_itself_nowhere_else() {
        for scheme in Scheme::ALL.iter().copied() {
            let made = WebhookSecret::generate(scheme, &SystemEntropy).unwrap();
            let read = WebhookSecret::parse(scheme, made.reveal()).unwrap();
            assert!(made == read && read.reveal().starts_with("whsec_"));
            assert!(made.reveal().ends_with(&made.hint()) && made.hint().len() == HINT);
            assert!(!format!("{made:?}").contains(&made.reveal()[6..20]));
            assert_ne!(made, WebhookSecret::generate(scheme, &SystemEntropy).unwrap());
        }
    }

    #[test]
    fn other_texts_are_no_secrets() {
        let parse = |scheme, text: &str| WebhookSecret::parse(scheme, text);
        let of = |len: usize| format!("whsec_{}", Base64::encode_string(&vec![7; len]));
        assert!(parse(Scheme::Standard, &of(24)).is_ok() && parse(Scheme::Standard, &of(64)).is_ok());
        for bad in ["", "whsec_", "whsec_!", &of(23), &of(65), &of(32)[6..], &format!("{} ", of(32))] {
            assert_eq!(parse(Scheme::Standard, bad), Err(SecretError(Scheme::Standard)), "{bad}");
        }
        let hex = format!("whsec_{}", "ab".repeat(32));
        assert!(parse(Scheme::VendorSdk, &hex).is_ok());
        for bad in [&hex[..69], &hex[6..], &format!("{hex}0"), &hex.replace('a', "g")] {
            assert!(parse(Scheme::VendorDocs, bad).is_err(), "{bad}");
        }
    }
}
