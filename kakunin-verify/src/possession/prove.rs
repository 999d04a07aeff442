//! Whether a signature shows possession: who holds the key, who was meant, and what is covered.

use kakunin_core::key::KeyAlgorithm;
use kakunin_core::time::UnixTime;

use super::authority::{Authorities, Authority};
use super::digest::ContentDigest;
use super::fields::{Input, parse_input, parse_signature};
use super::nonces::{Nonces, Use};
use super::profile::{MAX_AGE, MAX_AHEAD, TAG, algorithm_name, invalid};
use super::{dictionary, sign};
use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};

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
    nonce: Box<str>,
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
            let used = Use::new(agent, input.nonce, input.created, end(&input));
            return Ok(Proof { used, nonce: input.nonce.into(), digest });
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

    /// The nonce: what tells this signature from all others of its agent.
    #[must_use]
    pub const fn nonce(&self) -> &str {
        &self.nonce
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
        return Err(Denied::about(Code::PossessionStale, input.created));
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
