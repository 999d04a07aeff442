//! Proof of possession: an HTTP message signature (RFC 9421) by the key in the agent's certificate.
//!
//! A certificate is public. Whoever presents one shows that it holds the key by signing method, target,
//! time and a nonce that is used once:
//!
//! ```text
//! X-Kakunin-Certificate: :<base64 of the leaf's DER>:
//! Signature-Input: kakunin=("@method" "@request-target");created=1795420800;keyid="<serial>";
//!     nonce="<16 to 64 characters>";tag="kakunin-request"
//! Signature: kakunin=:<base64>:
//! ```
//!
//! The profile is strict: one label, parameters once each and of these names, one serialization. So the
//! received text is what RFC 9421, 2.3 would serialize again, and is put into the signature base as it is.

mod certificates;
mod encodings;
mod fields;
mod nonces;
mod sign;
mod xfcc;

use kakunin_core::key::KeyAlgorithm;
use kakunin_core::time::{SECOND, UnixTime};

pub use certificates::{
    ACTION_HEADER, CERTIFICATE_HEADER, SERIAL_HEADER, SPIFFE_ID_HEADER, parse_certificates,
    write_certificates,
};
pub use encodings::CertificateEncoding;
pub use nonces::Nonces;
pub use sign::RequestToSign;

use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};
use fields::{Input, parse_input, parse_signature};

/// Parses both fields as [`prove`] does; what is accepted is its own serialization.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_signature(input: &str, signature: &str) {
    if let Ok(parsed) = parse_input(input) {
        assert_eq!(format!("{}={}", parsed.label, parsed.params), input);
        let _ = parse_signature(signature, parsed.label).map(|raw| sign::to_der(&raw));
    }
}

/// The `tag` parameter of every such signature, so that one made for another purpose proves nothing.
pub const TAG: &str = "kakunin-request";
/// How old a signature may be, in milliseconds.
pub const MAX_AGE: u64 = 60 * SECOND;
/// How far ahead of our clock a signature may be, in milliseconds.
pub const MAX_AHEAD: u64 = 30 * SECOND;

/// A request as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    method: &'a str,
    target: &'a str,
    authority: Option<&'a str>,
    content_digest: Option<&'a str>,
    input: &'a str,
    signature: &'a str,
}

impl<'a> SignedRequest<'a> {
    /// A request by method and target (origin form: path, and `?query` if there is one), with the values
    /// of its `Signature-Input` and `Signature` fields.
    #[must_use]
    pub const fn new(method: &'a str, target: &'a str, input: &'a str, signature: &'a str) -> Self {
        Self { method, target, authority: None, content_digest: None, input, signature }
    }

    /// With the authority it was sent to, `host` or `host:port` without the scheme's default port, for
    /// signatures that cover it. Letters of either case are the same (RFC 9421, 2.2.3).
    #[must_use]
    pub const fn authority(mut self, authority: &'a str) -> Self {
        self.authority = Some(authority);
        self
    }

    /// With the value of its `Content-Digest` field, for signatures that cover it. Whether the content is
    /// that digest's is for whoever reads the content.
    #[must_use]
    pub const fn content_digest(mut self, value: &'a str) -> Self {
        self.content_digest = Some(value);
        self
    }
}

/// Shows that whoever sent `request` holds the key of `agent`'s certificate, once.
///
/// # Errors
/// [`Denied`] with `possession_invalid`, `possession_stale`, `possession_replayed`, or
/// `possession_unavailable` when no more nonces can be remembered.
pub fn prove(
    request: &SignedRequest<'_>,
    agent: &VerifiedAgent,
    nonces: &Nonces,
    now: UnixTime,
) -> Result<(), Denied> {
    let input = parse_input(request.input)?;
    check_params(&input, agent, now)?;
    let base = base(request, &input)?;
    let signature = parse_signature(request.signature, input.label)?;
    let key = agent.parsed_key().map_err(|e| Denied::about(Code::KeyNotAllowed, e.code()))?;
    let signature =
        if key.spki().algorithm() == KeyAlgorithm::P256 { sign::to_der(&signature)? } else { signature };
    key.verify(base.as_bytes(), &signature).map_err(|_| invalid("signature"))?;
    // Only now, so that nobody else can use a nonce up.
    nonces.spend(agent.serial(), input.nonce, input.created.plus(MAX_AGE), now)
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
    let late = now.since(input.created) > MAX_AGE || input.expires.is_some_and(|end| now > end);
    if late || input.created.since(now) > MAX_AHEAD {
        return Err(Denied::about(Code::PossessionStale, input.created.to_string()));
    }
    Ok(())
}

/// The name in the registry of RFC 9421, 6.2.2.
const fn algorithm_name(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::P256 => "ecdsa-p256-sha256",
        KeyAlgorithm::Ed25519 => "ed25519",
        _ => "rsa-v1_5-sha256",
    }
}

/// The signature base (RFC 9421, 2.5).
fn base(request: &SignedRequest<'_>, input: &Input<'_>) -> Result<String, Denied> {
    let (path, query) = request.target.split_once('?').map_or((request.target, None), |(p, q)| (p, Some(q)));
    let has = |name| input.components.contains(&name);
    let whole = has("@request-target") || has("@path") && (query.is_none() || has("@query"));
    if !has("@method") || !whole {
        return Err(invalid("covered components"));
    }
    let authority = request.authority.map(str::to_ascii_lowercase);
    let mut base = String::with_capacity(256);
    for name in &input.components {
        let value = match *name {
            "@method" => request.method,
            "@request-target" => request.target,
            "@path" => path,
            "@query" => request.target.find('?').and_then(|at| request.target.get(at..)).unwrap_or("?"),
            "@authority" => authority.as_deref().ok_or_else(|| invalid("@authority"))?,
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
