//! The names a rename would change, in one place.

/// Product name, as it appears in subjects of the certificate authority and in messages.
pub const PRODUCT: &str = "kakunin";
/// Prefix of the HTTP headers of this product.
pub const HEADER_PREFIX: &str = "X-Kakunin-";
/// Prefix of API keys.
pub const KEY_PREFIX: &str = "kak_";
/// What a key binding begins with: the current key's word for the next one.
pub const KEY_BINDING_LABEL: &str = "kakunin-key-binding";
/// What the feed key's statement about a snapshot of revocations begins with.
pub const SNAPSHOT_LABEL: &str = "kakunin-revocation-snapshot/1";
/// Prefix of join tokens.
pub const JOIN_TOKEN_PREFIX: &str = "kjt_";
/// Namespace of the URNs that name agents outside SPIFFE.
pub const URN_NAMESPACE: &str = "urn:kakunin:agent:";
/// Default arc of the agent extensions: reserved for documentation by RFC 5612.
///
/// A production deployment configures the arc of its own IANA Private Enterprise Number.
pub const DEFAULT_ARC: &str = "1.3.6.1.4.1.32473";
