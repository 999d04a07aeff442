//! Whose request it is, as its fields and its connection show: before anything is used up or counted.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue};
use kakunin_core::time::UnixTime;

use crate::agent::VerifiedAgent;
use crate::denied::{Code, Denied};
use crate::possession::{
    Authorities, CERTIFICATE_HEADER, Nonces, Proof, SERIAL_HEADER, SignedRequest, parse_certificates, prove,
};
use crate::verifier::Verifier;

const CLIENT_CERT: &str = "client-cert";
const CLIENT_CERT_CHAIN: &str = "client-cert-chain";

/// What a request brings to show whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    headers: &'a HeaderMap,
    peer: Option<&'a [Vec<u8>]>,
    from_proxy: bool,
    method: &'a str,
    target: &'a str,
    authority: Option<&'a str>,
}

/// An agent whose request it is, unless the signature that shows it was used before.
#[derive(Debug)]
#[must_use = "a signature proves nothing until its nonce is used up"]
pub struct Shown {
    agent: VerifiedAgent,
    proof: Option<Proof>,
}

impl<'a> Presented<'a> {
    /// The fields of a request with this method and target (origin form). `peer` is the chain that its TLS
    /// handshake proved; `from_proxy` says whether its `Client-Cert` fields are to be believed.
    #[must_use]
    pub const fn new(
        headers: &'a HeaderMap,
        (method, target): (&'a str, &'a str),
        peer: Option<&'a [Vec<u8>]>,
        from_proxy: bool,
    ) -> Self {
        Self { headers, peer, from_proxy, method, target, authority: None }
    }

    /// With the authority of the request's URI, where HTTP/2 has it. Without, that of its `Host` field. Neither is
    /// believed: a signature has to be for one of the service's own names.
    #[must_use]
    pub const fn authority(mut self, authority: &'a str) -> Self {
        self.authority = Some(authority);
        self
    }

    /// The agent whose request it is, to a service that is called one of `us`. Standing and scope are not looked at,
    /// so that a refusal for either is known to be the agent's own doing; nor is the nonce of a signature used up.
    ///
    /// # Errors
    /// [`Denied`]; together with the agent, if its certificate was accepted and only possession was not.
    pub fn shown(
        &self,
        verifier: &Verifier,
        us: &Authorities,
        now: UnixTime,
    ) -> Result<Shown, (Denied, Option<VerifiedAgent>)> {
        let shown = self.by_any_means(verifier, us, now)?;
        // Whoever reads that field behind us would take the request for another's.
        match self.field(SERIAL_HEADER) {
            Ok(Some(text)) if text.parse().ok().as_ref() != Some(shown.agent.serial()) => {
                Err((Denied::about(Code::PossessionInvalid, SERIAL_HEADER), None))
            }
            Ok(_) => Ok(shown),
            Err(denied) => Err((denied, None)),
        }
    }

    fn by_any_means(
        &self,
        verifier: &Verifier,
        us: &Authorities,
        now: UnixTime,
    ) -> Result<Shown, (Denied, Option<VerifiedAgent>)> {
        let alone = |denied| (denied, None);
        let seen = |agent| Shown { agent, proof: None };
        if let Some(chain) = self.peer.filter(|chain| !chain.is_empty()) {
            return verifier.identify(chain, now).map(seen).map_err(alone);
        }
        if self.from_proxy && self.headers.contains_key(CLIENT_CERT) {
            let mut chain = self.certificates(CLIENT_CERT).map_err(alone)?;
            if chain.len() != 1 {
                return Err(alone(Denied::about(Code::CertificateMalformed, CLIENT_CERT)));
            }
            if self.headers.contains_key(CLIENT_CERT_CHAIN) {
                chain.extend(self.certificates(CLIENT_CERT_CHAIN).map_err(alone)?);
            }
            return verifier.identify(&chain, now).map(seen).map_err(alone);
        }
        if !self.headers.contains_key(CERTIFICATE_HEADER) {
            let named = self.headers.contains_key(SERIAL_HEADER);
            let code = if named { Code::PossessionMissing } else { Code::CertificateMissing };
            return Err(alone(Denied::new(code)));
        }
        let chain = self.certificates(CERTIFICATE_HEADER).map_err(alone)?;
        let agent = verifier.identify(&chain, now).map_err(alone)?;
        match self.signed(&agent, us, now) {
            Ok(proof) => Ok(Shown { agent, proof: Some(proof) }),
            Err(denied) => Err((denied, Some(agent))),
        }
    }

    fn signed(&self, agent: &VerifiedAgent, us: &Authorities, now: UnixTime) -> Result<Proof, Denied> {
        let missing = || Denied::new(Code::PossessionMissing);
        let input = self.joined("signature-input")?.ok_or_else(missing)?;
        let signature = self.joined("signature")?.ok_or_else(missing)?;
        let mut request = SignedRequest::new(self.method, self.target, &input, &signature);
        if let Some(host) = self.sent_to()? {
            request = request.sent_to(host);
        }
        if let Some(digest) = self.field("content-digest")? {
            request = request.content_digest(digest);
        }
        prove(&request, agent, us, now)
    }

    fn sent_to(&self) -> Result<Option<&'a str>, Denied> {
        let host = self.field("host")?;
        match (self.authority, host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                Err(Denied::about(Code::PossessionInvalid, "host"))
            }
            (authority, host) => Ok(authority.or(host)),
        }
    }

    fn certificates(&self, name: &'static str) -> Result<Vec<Vec<u8>>, Denied> {
        let text = self.field(name)?.ok_or(Denied::new(Code::CertificateMissing))?;
        parse_certificates(text)
    }

    // A field that is a list, of all its lines (RFC 9110, 5.3): others may sign the same request.
    fn joined(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, Denied> {
        let text =
            |value: &'a HeaderValue| value.to_str().map_err(|_| Denied::about(Code::PossessionInvalid, name));
        let mut values = self.headers.get_all(name).iter().map(text);
        let Some(first) = values.next().transpose()? else { return Ok(None) };
        let more = values.collect::<Result<Vec<_>, _>>()?;
        if more.is_empty() {
            return Ok(Some(Cow::Borrowed(first)));
        }
        Ok(Some(Cow::Owned([&[first], &more[..]].concat().join(", "))))
    }

    // The one value of a field: two could be read differently by others.
    fn field(&self, name: &'static str) -> Result<Option<&'a str>, Denied> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => {
                value.to_str().map(Some).map_err(|_| Denied::about(Code::PossessionInvalid, name))
            }
            (Some(_), Some(_)) => Err(Denied::about(Code::PossessionInvalid, name)),
        }
    }
}

impl Shown {
    /// The agent. That it is its request is known only after [`Shown::spend`].
    #[must_use]
    pub const fn agent(&self) -> &VerifiedAgent {
        &self.agent
    }

    /// Whether a signature shows it, which may come again; a connection does not.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.proof.is_some()
    }

    /// The nonce of the signature that shows it, if one does.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.proof.as_ref().map(Proof::nonce)
    }

    /// As [`Proof::content`]; whatever comes over the agent's own connection is the agent's.
    ///
    /// # Errors
    /// [`Denied`] with `possession_invalid`.
    pub fn content(&self, content: &[u8]) -> Result<(), Denied> {
        self.proof.as_ref().map_or(Ok(()), |proof| proof.content(content))
    }

    /// As [`Proof::unused`].
    ///
    /// # Errors
    /// [`Denied`] with `possession_replayed` or `possession_stale`.
    pub fn unused(&self, nonces: &Nonces, now: UnixTime) -> Result<(), Denied> {
        self.proof.as_ref().map_or(Ok(()), |proof| proof.unused(nonces, now))
    }

    /// The agent whose request it is: as [`Proof::spend`].
    ///
    /// # Errors
    /// As there.
    pub fn spend(self, nonces: &Nonces, now: UnixTime) -> Result<VerifiedAgent, Denied> {
        self.proof.map_or(Ok(()), |proof| proof.spend(nonces, now))?;
        Ok(self.agent)
    }
}
