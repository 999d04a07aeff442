//! Who may call the API of a deployment: keys, what each may do, and how one is presented; and the tokens
//! with which an agent's process joins.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::agent::Label;
use crate::brand::{JOIN_TOKEN_PREFIX, KEY_PREFIX};
pub use crate::id::{ApiKeyId, JoinTokenId};
use crate::id::{Entropy, EntropyError, TenantId, hex_decode, hex_encode};
use crate::issue::Profile;
use crate::time::{MINUTE, UnixTime};
use crate::words::words;

const SECRET_LEN: usize = 32;
/// By how much a clock that is kept right may be set back.
const STEP: u64 = MINUTE;
/// What follows the prefix in keys of this deployment. The other spelling is read as well.
const LIVE: &str = "live_";
const TEST: &str = "test_";

words! {
    /// What a key may do in its tenant; each may also do what those before it may.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    pub enum Role {
        /// Reads.
        Reader = "reader",
        /// Reports events: an enforcement point, or the host of agents.
        Reporter = "reporter",
        /// Registers, certifies, revokes.
        Operator = "operator",
        /// Makes tenants; makes, lists and revokes keys of every tenant and role; says who may read what each tenant
        /// revoked. Agents, certificates, events and logs it reaches in its own tenant, as an operator; in another one
        /// with a key that it makes there, which is on record.
        Admin = "admin",
    }
}

/// What is known of a key, secret apart.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ApiKeyFacts {
    /// Which key.
    pub id: ApiKeyId,
    /// Whose: it reaches nothing of another tenant's.
    pub tenant: TenantId,
    /// What it may do.
    pub role: Role,
    /// What it is for.
    pub label: Label,
    /// When it was made.
    pub created_at: UnixTime,
    /// After when it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixTime>,
    /// What commits to its hash; `None` in records of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<KeyCommitment>,
}

impl ApiKeyFacts {
    /// Whether it is accepted at `now`. One with an end that is not made yet was made by a clock that was ahead, and would
    /// live too long: it is refused until then.
    #[must_use]
    pub fn valid_at(&self, now: UnixTime) -> bool {
        self.expires_at.is_none_or(|end| now <= end && self.created_at <= now.plus(STEP))
    }
}

/// A key as its bearer presents it. Wiped when dropped, and never shown but by [`ApiKey::reveal`].
///
/// `kak_live_` and the base64url (RFC 4648, 5) of 16 octets of identifier and 32 random ones.
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// A new key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(id: &ApiKeyId, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let text = with_secret(id.as_bytes(), entropy)?;
        Ok(Self(Zeroizing::new(format!("{KEY_PREFIX}{LIVE}{}", *text))))
    }

    /// Takes a presented key apart: which key it says it is, and the hash that key must have.
    #[must_use]
    pub fn open(text: &str) -> Option<(ApiKeyId, KeyHash)> {
        let rest = text.strip_prefix(KEY_PREFIX)?;
        let rest = rest.strip_prefix(LIVE).or_else(|| rest.strip_prefix(TEST))?;
        apart(rest).map(|(id, hash)| (ApiKeyId::from_bytes(id), hash))
    }

    /// The hash to keep.
    #[must_use]
    pub fn hash(&self) -> Option<KeyHash> {
        Self::open(&self.0).map(|(_, hash)| hash)
    }

    /// The text, to be handed to its bearer once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// What is known of a join token without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JoinTokenFacts {
    /// Which.
    pub id: JoinTokenId,
    /// The profile of the certificate it gives.
    pub profile: Profile,
    /// Until when.
    pub expires_at: UnixTime,
    /// What commits to its hash; `None` in records of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<KeyCommitment>,
    /// The API key that it was made with, if it was one: when that is revoked the token opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ApiKeyId>,
}

/// A join token as an agent's process presents it, once. Wiped when dropped, and never shown but by
/// [`JoinToken::reveal`].
///
/// `kjt_` and the base64url (RFC 4648, 5) of 16 octets of identifier and 32 random ones.
pub struct JoinToken(Zeroizing<String>);

impl JoinToken {
    /// A new token.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(id: &JoinTokenId, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let text = with_secret(id.as_bytes(), entropy)?;
        Ok(Self(Zeroizing::new(format!("{JOIN_TOKEN_PREFIX}{}", *text))))
    }

    /// Takes a presented token apart, as [`ApiKey::open`].
    #[must_use]
    pub fn open(text: &str) -> Option<(JoinTokenId, KeyHash)> {
        let (id, hash) = apart(text.strip_prefix(JOIN_TOKEN_PREFIX)?)?;
        Some((JoinTokenId::from_bytes(id), hash))
    }

    /// The hash to keep.
    #[must_use]
    pub fn hash(&self) -> Option<KeyHash> {
        Self::open(&self.0).map(|(_, hash)| hash)
    }

    /// The text, to be handed to the agent's process once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(..)")
    }
}

/// An identifier with a new secret behind it, as text.
fn with_secret(id: &[u8; 16], entropy: &dyn Entropy) -> Result<Zeroizing<String>, EntropyError> {
    let mut octets = Zeroizing::new([0; 16 + SECRET_LEN]);
    let (head, secret) = octets.split_at_mut(16);
    head.copy_from_slice(id);
    entropy.fill(secret)?;
    Ok(Zeroizing::new(Base64UrlUnpadded::encode_string(&*octets)))
}

fn apart(text: &str) -> Option<([u8; 16], KeyHash)> {
    let mut octets = Zeroizing::new([0; 16 + SECRET_LEN]);
    let decoded = Base64UrlUnpadded::decode(text, &mut *octets).ok()?;
    let (id, secret) = decoded.split_first_chunk::<16>()?;
    (secret.len() == SECRET_LEN).then(|| (*id, KeyHash::of(secret)))
}

/// SHA-256 of a key's secret, which is random: stretching would add nothing.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// From stored octets.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The octets to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether two are the same, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0).fold(0, |all, (a, b)| all | (a ^ b));
        core::hint::black_box(difference) == 0
    }
}

/// What a record says of a key or token so that the hash in the vault cannot be exchanged for another: SHA-256
/// over identifier and hash, hex. The secret is 32 random octets, so nothing of it is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyCommitment([u8; 32]);

impl KeyCommitment {
    pub(crate) fn new(id: &[u8; 16], hash: &KeyHash) -> Self {
        let text = Sha256::new().chain_update(b"kakunin: hash of a key\0");
        Self(text.chain_update(id).chain_update(hash.as_bytes()).finalize().into())
    }
}

impl From<KeyCommitment> for String {
    fn from(commitment: KeyCommitment) -> Self {
        hex_encode(&commitment.0)
    }
}

impl TryFrom<String> for KeyCommitment {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex_decode(&text).map(Self).ok_or("a commitment is 64 hex digits")
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SystemEntropy;

    #[test]
    fn a_key_opens_to_its_own_hash_and_shows_itself_nowhere_else() {
        let id = ApiKeyId::generate(UnixTime::from_secs(9), &SystemEntropy).unwrap();
        let (one, two) =
            (ApiKey::generate(&id, &SystemEntropy).unwrap(), ApiKey::generate(&id, &SystemEntropy));
        let (opened, hash) = ApiKey::open(one.reveal()).unwrap();
        assert!(opened == id && hash.matches(&one.hash().unwrap()));
        assert!(!hash.matches(&two.unwrap().hash().unwrap()));
        assert!(ApiKey::open(&one.reveal().replace("kak_live_", "kak_test_")).is_some());
        assert!(!format!("{one:?} {hash:?}").contains(&one.reveal()[9..20]));
        let text = one.reveal();
        for bad in ["", "kak_", "kak_live_", &text[..text.len() - 1], &format!("{text}A"), &text[4..], "é"] {
            assert!(ApiKey::open(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn roles_rise() {
        assert!(
            Role::Admin > Role::Operator && Role::Operator > Role::Reporter && Role::Reporter > Role::Reader
        );
    }
}
