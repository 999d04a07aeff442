//! Proof of possession: an HTTP message signature (RFC 9421) by the key in the agent's certificate.
//!
//! A certificate is public. Whoever presents one shows that it holds the key by signing method, target, the name of
//! the service, the content if there is any, time, and a nonce that is used once:
//!
//! ```text
//! X-Kakunin-Certificate: :<base64 of the leaf's DER>:
//! Content-Digest: sha-256=:<base64>:
//! Signature-Input: kakunin=("@method" "@request-target" "@authority" "content-digest");created=1795420800;
//!     keyid="<serial>";nonce="<16 to 64 characters>";tag="kakunin-request"
//! Signature: kakunin=:<base64>:
//! ```
//!
//! The profile is strict: one signature with this tag, parameters once each and of these names, one serialization. So the
//! received text is what RFC 9421, 2.3 would serialize again, and is put into the signature base as it is. Signatures of
//! others may stand beside it, under labels of their own, on the same field line or on others; they are not looked at.
//!
//! The octets of a signature are as RFC 9421, 3.3 has them. ECDSA's are `r || s` (IEEE P1363), 64 for P-256, and not the DER
//! sequence that X.509, and most libraries unless asked for the other, make of both numbers. RSA's are PKCS #1 v1.5.
//!
//! A verifier knows under which names it is reached, and believes no field of the request about that: whoever the
//! agent called could send the signature on, with any `Host` field. [`prove`] gives a [`Proof`], whose nonce is used up
//! last, so that what is refused for another reason uses up nothing.

mod authority;
mod certificates;
mod dictionary;
mod digest;
mod encodings;
mod eras;
mod fields;
mod nonces;
mod sign;
mod xfcc;

use kakunin_core::key::KeyAlgorithm;
use kakunin_core::time::{SECOND, UnixTime};

pub use authority::{Authorities, Authority, AuthorityError};
pub use certificates::{
    ACTION_HEADER, CERTIFICATE_HEADER, SERIAL_HEADER, SPIFFE_ID_HEADER, parse_certificates,
    write_certificates,
};
pub use encodings::CertificateEncoding;
pub use nonces::{NonceFigures, Nonces};
pub use sign::{Outgoing, RequestToSign};

use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};
use digest::ContentDigest;
use fields::{Input, parse_input, parse_signature};
use nonces::Use;

/// Parses both fields as [`prove`] does; what is accepted is its own serialization.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_signature(input: &str, signature: &str) {
    let _ = dictionary::ours(input);
    if let Ok(parsed) = parse_input(input) {
        assert_eq!(format!("{}={}", parsed.label, parsed.params), input);
        let _ = parse_signature(signature, parsed.label).map(|raw| sign::to_der(&raw));
    }
    if let Ok(digest) = ContentDigest::parse(signature) {
        let _ = digest.fits(input.as_bytes());
    }
    if let Ok(name) = input.parse::<Authority>() {
        assert_eq!(format!("ftp://{name}").parse::<Authority>().ok(), None);
        assert!(name.as_str().parse::<Authority>().is_ok());
    }
}

/// The `tag` parameter of every such signature, so that one made for another purpose proves nothing.
pub const TAG: &str = "kakunin-request";
/// How old a signature may be, in milliseconds.
pub const MAX_AGE: u64 = 60 * SECOND;
/// How far ahead of our clock a signature may be, in milliseconds.
pub const MAX_AHEAD: u64 = 10 * SECOND;

/// A request as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    method: &'a str,
    target: &'a str,
    sent_to: Option<&'a str>,
    content_digest: Option<&'a str>,
    input: &'a str,
    signature: &'a str,
}

impl<'a> SignedRequest<'a> {
    /// A request by method and target (origin form: path, and `?query` if there is one), with the values
    /// of its `Signature-Input` and `Signature` fields, several lines of one joined by `, `.
    #[must_use]
    pub const fn new(method: &'a str, target: &'a str, input: &'a str, signature: &'a str) -> Self {
        Self { method, target, sent_to: None, content_digest: None, input, signature }
    }

    /// With the authority that the request names, in its URI or its `Host` field. That is nobody's word: it only says
    /// which of the service's own names is tried first.
    #[must_use]
    pub const fn sent_to(mut self, host: &'a str) -> Self {
        self.sent_to = Some(host);
        self
    }

    /// With the value of its `Content-Digest` field.
    #[must_use]
    pub const fn content_digest(mut self, value: &'a str) -> Self {
        self.content_digest = Some(value);
        self
    }
}

/// A signature over a request, by the key of one agent's certificate and for the service that asked. It proves
/// possession once [`Proof::spend`] says that it is the first to come.
#[derive(Debug)]
#[must_use = "a signature proves nothing until its nonce is used up"]
pub struct Proof {
    used: Use,
    digest: Option<ContentDigest>,
}

/// Shows that whoever made `request` holds the key of `agent`'s certificate and meant the service that is called one
/// of `us`.
///
/// # Errors
/// [`Denied`] with `possession_invalid`, `possession_stale`, or `possession_misdirected` if it was sent to a name that is
/// not ours.
pub fn prove(
    request: &SignedRequest<'_>,
    agent: &VerifiedAgent,
    us: &Authorities,
    now: UnixTime,
) -> Result<Proof, Denied> {
    let input = parse_input(dictionary::ours(request.input)?)?;
    check_params(&input, agent, now)?;
    check_covered(request, &input)?;
    let digest = request.content_digest.map(ContentDigest::parse).transpose()?;
    let signature = parse_signature(request.signature, input.label)?;
    let key = agent.parsed_key().map_err(|e| Denied::about(Code::KeyNotAllowed, e.code()))?;
    let signature =
        if key.spki().algorithm() == KeyAlgorithm::P256 { sign::to_der(&signature)? } else { signature };
    let sent_to = request.sent_to.map(str::parse::<Authority>);
    for name in us.likely_first(sent_to.as_ref().and_then(|name| name.as_ref().ok())) {
        let base = base(request, &input, name)?;
        if key.verify(base.as_bytes(), &signature).is_ok() {
            return Ok(Proof { used: Use::new(agent, input.nonce, input.created, end(&input)), digest });
        }
    }
    let ours = sent_to.is_none_or(|name| name.is_ok_and(|name| us.holds(&name)));
    Err(if ours { invalid("signature") } else { Denied::about(Code::PossessionMisdirected, "@authority") })
}

impl Proof {
    /// Refuses content that is not what was signed. Content without a digest that the signature covers is anybody's.
    ///
    /// # Errors
    /// [`Denied`] with `possession_invalid`.
    pub fn content(&self, content: &[u8]) -> Result<(), Denied> {
        match &self.digest {
            Some(digest) => digest.fits(content),
            None if content.is_empty() => Ok(()),
            None => Err(invalid("content-digest")),
        }
    }

    /// Refuses what was used before, or may have been, and uses nothing up: before work for which a replay is not to
    /// be a reason, such as counting it against the agent.
    ///
    /// # Errors
    /// [`Denied`] with `possession_replayed` or `possession_stale`.
    pub fn unused(&self, nonces: &Nonces, now: UnixTime) -> Result<(), Denied> {
        nonces.unused(&self.used, now)
    }

    /// Uses its nonce up, last of all: of many who come with one signature one is let in.
    ///
    /// # Errors
    /// As [`Proof::unused`], and `possession_unavailable` when the share of the agent or its tenant is full.
    pub fn spend(self, nonces: &Nonces, now: UnixTime) -> Result<(), Denied> {
        nonces.spend(&self.used, now)
    }
}

fn invalid(what: &'static str) -> Denied {
    Denied::about(Code::PossessionInvalid, what)
}

fn check_params(input: &Input<'_>, agent: &VerifiedAgent, now: UnixTime) -> Result<(), Denied> {
    if input.tag != TAG {
        return Err(invalid("tag"));
    }
    if !input.keyid.eq_ignore_ascii_case(&agent.serial().to_string()) {
        return Err(invalid("keyid"));
    }
    if input.alg.is_some_and(|alg| alg != algorithm_name(agent.public_key().algorithm())) {
        return Err(invalid("alg"));
    }
    if !(16..=64).contains(&input.nonce.len()) {
        return Err(invalid("nonce"));
    }
    if now > end(input) || input.created.since(now) > MAX_AHEAD {
        return Err(Denied::about(Code::PossessionStale, input.created.to_string()));
    }
    if input.expires.is_some_and(|end| end < input.created) {
        return Err(invalid("expires"));
    }
    Ok(())
}

/// The last moment at which it is young enough.
fn end(input: &Input<'_>) -> UnixTime {
    let oldest = input.created.plus(MAX_AGE);
    input.expires.map_or(oldest, |end| end.min(oldest))
}

/// The name in the registry of RFC 9421, 6.2.2.
const fn algorithm_name(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::P256 => "ecdsa-p256-sha256",
        KeyAlgorithm::Ed25519 => "ed25519",
        _ => "rsa-v1_5-sha256",
    }
}

/// What has to be covered: whatever is not could be somebody else's choice.
fn check_covered(request: &SignedRequest<'_>, input: &Input<'_>) -> Result<(), Denied> {
    let has = |name| input.components.contains(&name);
    let whole = has("@request-target") || has("@path") && (!request.target.contains('?') || has("@query"));
    if !has("@method") || !whole {
        return Err(invalid("covered components"));
    }
    if !has("@authority") {
        return Err(invalid("@authority"));
    }
    if request.content_digest.is_some() != has("content-digest") {
        return Err(invalid("content-digest"));
    }
    Ok(())
}

/// The signature base (RFC 9421, 2.5).
fn base(request: &SignedRequest<'_>, input: &Input<'_>, us: &Authority) -> Result<String, Denied> {
    let path = request.target.split_once('?').map_or(request.target, |(path, _)| path);
    let mut base = String::with_capacity(256);
    for name in &input.components {
        let value = match *name {
            "@method" => request.method,
            "@request-target" => request.target,
            "@path" => path,
            "@query" => request.target.find('?').and_then(|at| request.target.get(at..)).unwrap_or("?"),
            "@authority" => us.as_str(),
            "content-digest" => request.content_digest.ok_or_else(|| invalid("content-digest"))?,
            _ => return Err(invalid("covered components")),
        };
        // A line break in a value could stand for a line of its own.
        if value.bytes().any(|b| b.is_ascii_control()) {
            return Err(invalid("value"));
        }
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str("\"@signature-params\": ");
    base.push_str(input.params);
    Ok(base)
}
