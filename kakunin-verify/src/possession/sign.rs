//! The agent's side: what to sign, and how it is sent.

use base64ct::{Base64, Encoding};
use kakunin_core::id::Serial;
use kakunin_core::key::{KeyAlgorithm, Signature};
use kakunin_core::time::UnixTime;
use kakunin_core::x509::der::{Reader, Writer};

use super::authority::Authority;
use super::digest;
use super::profile::{TAG, algorithm_name, invalid};
use crate::denied::Denied;

const LABEL: &str = "kakunin";

/// A request that an agent is about to send.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Method, in upper case.
    pub method: &'a str,
    /// Origin form: path, and `?query` if there is one.
    pub target: &'a str,
    /// The service that is meant: of its URL.
    pub authority: &'a Authority,
    /// What it sends; empty if nothing.
    pub content: &'a [u8],
}

/// A request that is about to be signed with the key of an agent's certificate.
///
/// ```
/// # pollster::block_on(async {
/// # use kakunin_core::prelude::*;
/// # use kakunin_kms::local::LocalKeys;
/// # use std::sync::Arc;
/// #
/// # let mut config = Config::new("agents.example")?;
/// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
/// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
/// # let kakunin = Kakunin::open(config, parts).await?;
/// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
/// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
/// # let agent = acme.register(spec).await?;
/// # let key = KeySource::Provider(KeyAlgorithm::P256);
/// # let issued = acme.certify(&agent.id, Profile::Standard, key).await?;
/// use kakunin_core::key::PlannedKeyId;
/// use kakunin_verify::possession::{Outgoing, RequestToSign};
///
/// // The agent has its key from a provider, and its certificate for it.
/// let keys = LocalKeys::ephemeral();
/// let key = keys.generate(&PlannedKeyId::new([1; 16]), KeyAlgorithm::P256).await?;
/// let key = keys.open(&key).await?;
///
/// let authority = "api.example".parse()?;
/// let request = Outgoing { method: "POST", target: "/payments", authority: &authority, content: b"{}" };
/// let nonce = "4f6a1c0d9e8b7a65";
/// let to_sign =
///     RequestToSign::new(&request, &issued.facts.serial, KeyAlgorithm::P256, nonce, SystemClock.now());
/// let signature = to_sign.signature(&key.sign(to_sign.to_be_signed()).await?)?;
/// let fields = [
///     ("signature-input", to_sign.signature_input()),
///     ("signature", &signature),
///     ("content-digest", to_sign.content_digest().ok_or("there is content")?),
/// ];
/// assert!(fields[0].1.contains("\"@authority\" \"content-digest\""));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct RequestToSign {
    base: String,
    input: String,
    content_digest: Option<String>,
    algorithm: KeyAlgorithm,
}

impl RequestToSign {
    /// For the certificate `serial` with a key of `algorithm`. `nonce` has 16 to 64 printable characters without `"`
    /// and `\`, and is never used again. The signature covers method, target and authority, and the digest of the
    /// content if there is any.
    #[must_use]
    pub fn new(
        request: &Outgoing<'_>,
        serial: &Serial,
        algorithm: KeyAlgorithm,
        nonce: &str,
        created: UnixTime,
    ) -> Self {
        let Outgoing { method, target, authority, content } = *request;
        let (alg, created) = (algorithm_name(algorithm), created.secs());
        let content_digest = (!content.is_empty()).then(|| digest::write(content));
        let (covered, line) = match &content_digest {
            Some(digest) => (" \"content-digest\"", format!("\"content-digest\": {digest}\n")),
            None => ("", String::new()),
        };
        let params = format!(
            "(\"@method\" \"@request-target\" \"@authority\"{covered});created={created};keyid=\"{serial}\";\
             alg=\"{alg}\";nonce=\"{nonce}\";tag=\"{TAG}\""
        );
        let base = format!(
            "\"@method\": {method}\n\"@request-target\": {target}\n\"@authority\": {authority}\n{line}\
             \"@signature-params\": {params}"
        );
        Self { base, input: format!("{LABEL}={params}"), content_digest, algorithm }
    }

    /// The value of `Content-Digest`, to be sent if there is content.
    #[must_use]
    pub fn content_digest(&self) -> Option<&str> {
        self.content_digest.as_deref()
    }

    /// The bytes to sign: the signature base (RFC 9421, 2.5).
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        self.base.as_bytes()
    }

    /// The value of `Signature-Input`.
    #[must_use]
    pub fn signature_input(&self) -> &str {
        &self.input
    }

    /// The value of `Signature`, from a signature in X.509 form.
    ///
    /// # Errors
    /// [`Denied`] with `possession_invalid` if it is not a signature of that algorithm.
    pub fn signature(&self, signature: &Signature) -> Result<String, Denied> {
        let octets = match self.algorithm {
            KeyAlgorithm::P256 => to_raw(signature.as_bytes())?,
            _ => signature.as_bytes().to_vec(),
        };
        Ok(format!("{LABEL}=:{}:", Base64::encode_string(&octets)))
    }
}

/// ECDSA signatures are `r || s` in RFC 9421, 3.3.4, and a DER sequence in X.509.
pub(super) fn to_der(raw: &[u8]) -> Result<Vec<u8>, Denied> {
    if raw.len() != 64 {
        let is_der = to_raw(raw).is_ok();
        return Err(invalid(if is_der {
            "signature: it is DER, and RFC 9421, 3.3.4 has ECDSA's as r || s (IEEE P1363), 64 octets for P-256"
        } else {
            "signature: ECDSA's with P-256 is r || s (IEEE P1363), 64 octets (RFC 9421, 3.3.4)"
        }));
    }
    let (r, s) = raw.split_at(32);
    let mut out = Writer::new();
    out.sequence(|w| _ = w.unsigned(r).unsigned(s));
    Ok(out.into_bytes())
}

fn to_raw(der: &[u8]) -> Result<Vec<u8>, Denied> {
    let read = || {
        let mut outer = Reader::new(der);
        let mut body = outer.sequence()?;
        let numbers = [body.positive_integer()?, body.positive_integer()?];
        body.finish().and_then(|()| outer.finish())?;
        Ok::<_, kakunin_core::x509::der::DerError>(numbers)
    };
    let mut raw = Vec::with_capacity(64);
    for number in read().map_err(|_| invalid("signature"))? {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        let padding = 32_usize.checked_sub(number.len()).ok_or_else(|| invalid("signature"))?;
        raw.extend(std::iter::repeat_n(0, padding));
        raw.extend_from_slice(number);
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_signature_are_the_same_numbers() {
        let mut small = [0; 64];
        (small[31], small[40]) = (1, 7);
        for raw in [[0x80; 64], [0x7f; 64], small] {
            assert_eq!(to_raw(&to_der(&raw).unwrap()).unwrap(), raw);
        }
        assert!(to_der(&[1; 63]).is_err() && to_der(&[1; 65]).is_err() && to_raw(&[]).is_err());
        let mut longer = to_der(&small).unwrap();
        longer.push(0);
        assert!(to_raw(&longer).is_err());
    }
}
