//! The agent extensions: scope, model hash, tenant, environment, agent id, profile version and
//! constraints hash, under `<arc>.1`. The ASN.1 and vectors stand in `docs/SCOPE-EXTENSION.md`.
//!
//! They are non-critical, because TLS stacks refuse what they do not know (ADR 1); `kakunin-verify`
//! enforces their presence.

use crate::id::{AgentId, Environment, TenantId};
use crate::scope::{self, Action, MAX_SCOPES, ScopeSet};
use crate::x509::der::{DerError, Reader, Writer};
use crate::x509::oid::Arc;

/// `<arc>.1.1`: `SEQUENCE SIZE (0..64) OF UTF8String`, sorted, unique.
pub const SCOPE: u8 = 1;
/// `<arc>.1.2`: `UTF8String`, `sha256:` and 64 lower-case hex digits.
pub const MODEL_HASH: u8 = 2;
/// `<arc>.1.3`: `UTF8String`.
pub const TENANT: u8 = 3;
/// `<arc>.1.4`: `UTF8String`.
pub const ENVIRONMENT: u8 = 4;
/// `<arc>.1.5`: `UTF8String`, the UUID of the agent.
pub const AGENT_ID: u8 = 5;
/// `<arc>.1.6`: `INTEGER` 1.
pub const PROFILE_VERSION: u8 = 6;
/// `<arc>.1.7`: `OCTET STRING`, SHA-256 of the constraints document; optional.
pub const CONSTRAINTS: u8 = 7;

/// A SHA-256 over the model an agent runs: `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelHash([u8; 32]);

/// The text is not `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a model hash is `sha256:` and 64 lower-case hex digits")]
pub struct ModelHashError;

impl ModelHash {
    /// Takes a SHA-256.
    #[must_use]
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The SHA-256.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl core::str::FromStr for ModelHash {
    type Err = ModelHashError;

    fn from_str(text: &str) -> Result<Self, ModelHashError> {
        text.strip_prefix("sha256:")
            .filter(|hex| !hex.bytes().any(|b| b.is_ascii_uppercase()))
            .and_then(crate::id::hex_decode)
            .map(Self)
            .ok_or(ModelHashError)
    }
}

impl TryFrom<String> for ModelHash {
    type Error = ModelHashError;

    fn try_from(text: String) -> Result<Self, ModelHashError> {
        text.parse()
    }
}

impl From<ModelHash> for String {
    fn from(hash: ModelHash) -> Self {
        hash.to_string()
    }
}

impl core::fmt::Display for ModelHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "sha256:{}", crate::id::hex_encode(&self.0))
    }
}

impl core::fmt::Debug for ModelHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// What the certificate binds to the agent's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentClaims {
    /// What the agent may do.
    pub scope: ScopeSet,
    /// The model it runs.
    pub model_hash: ModelHash,
    /// Whose agent it is.
    pub tenant: TenantId,
    /// Where it runs.
    pub environment: Environment,
    /// Which agent it is.
    pub agent: AgentId,
    /// SHA-256 of its constraints document, if it has one.
    pub constraints: Option<[u8; 32]>,
}

impl AgentClaims {
    /// Writes the extensions, each a whole `Extension`, in order of their numbers.
    pub fn write(&self, arc: &Arc, out: &mut Writer) {
        let mut put = |n: u8, value: &dyn Fn(&mut Writer)| {
            let mut inner = Writer::new();
            value(&mut inner);
            let inner = inner.into_bytes();
            out.sequence(|e| {
                e.oid(&arc.extension(n)).element(0x04, &inner);
            });
        };
        put(SCOPE, &|w| {
            w.sequence(|w| {
                for scope in self.scope.as_slice() {
                    w.utf8(scope.as_str());
                }
            });
        });
        put(MODEL_HASH, &|w| _ = w.utf8(&self.model_hash.to_string()));
        put(TENANT, &|w| _ = w.utf8(self.tenant.as_str()));
        put(ENVIRONMENT, &|w| _ = w.utf8(self.environment.as_str()));
        put(AGENT_ID, &|w| _ = w.utf8(&self.agent.to_string()));
        put(PROFILE_VERSION, &|w| _ = w.unsigned(&[1]));
        if let Some(hash) = &self.constraints {
            put(CONSTRAINTS, &|w| _ = w.element(0x04, hash));
        }
    }
}

/// The agent extensions of one certificate as they stand in its DER, checked but not copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct RawClaims<'a> {
    scope: Option<&'a [u8]>,
    model_hash: Option<&'a str>,
    tenant: Option<&'a str>,
    environment: Option<&'a str>,
    agent: Option<&'a str>,
    version_1: bool,
    constraints: Option<&'a [u8; 32]>,
}

impl<'a> RawClaims<'a> {
    /// Takes the value of extension `<arc>.1.<n>`; numbers of later profile versions are passed over.
    ///
    /// # Errors
    /// If the value is not what this profile writes, or the extension is there twice.
    pub fn take(&mut self, n: u8, value: &'a [u8]) -> Result<(), DerError> {
        let mut r = Reader::new(value);
        match n {
            SCOPE => set(&mut self.scope, check_scopes(r.raw(0x30)?)?)?,
            MODEL_HASH => set(&mut self.model_hash, text(r.read(0x0c)?)?)?,
            TENANT => set(&mut self.tenant, text(r.read(0x0c)?)?)?,
            ENVIRONMENT => set(&mut self.environment, text(r.read(0x0c)?)?)?,
            AGENT_ID => set(&mut self.agent, text(r.read(0x0c)?)?)?,
            PROFILE_VERSION if !self.version_1 => {
                self.version_1 = r.read(0x02)? == [1];
                if !self.version_1 {
                    return Err(DerError);
                }
            }
            CONSTRAINTS => {
                set(&mut self.constraints, r.read(0x04)?.try_into().map_err(|_| DerError)?)?;
            }
            PROFILE_VERSION => return Err(DerError),
            _ => return Ok(()),
        }
        r.finish()
    }

    /// The claims as owned values, if all that are required are there and well-formed.
    #[must_use]
    pub fn to_owned(&self) -> Option<AgentClaims> {
        let scopes = ScopeTexts::new(self.scope?);
        Some(AgentClaims {
            scope: ScopeSet::parse(scopes).ok()?,
            model_hash: self.model_hash?.parse().ok()?,
            tenant: self.tenant?.parse().ok()?,
            environment: self.environment?.parse().ok()?,
            agent: self.agent?.parse().ok()?,
            constraints: self.constraints.copied(),
        })
        .filter(|_| self.version_1)
    }

    /// The tenant, if it is there: in the certificate of an issuing CA, the one tenant that it issues for.
    #[must_use]
    pub const fn tenant(&self) -> Option<&'a str> {
        self.tenant
    }

    /// Whether every required extension is there.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.scope.is_some()
            && self.model_hash.is_some()
            && self.tenant.is_some()
            && self.environment.is_some()
            && self.agent.is_some()
            && self.version_1
    }

    /// Whether any of them is there.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.scope.is_some()
            || self.model_hash.is_some()
            || self.tenant.is_some()
            || self.environment.is_some()
            || self.agent.is_some()
            || self.version_1
    }

    /// Whether the scope covers `action`, straight from the DER.
    #[must_use]
    pub fn permits(&self, action: &Action) -> bool {
        self.scope.is_some_and(|der| ScopeTexts::new(der).any(|s| scope::covers(s, action.as_str())))
    }
}

/// Decodes the scope extension's value alone, as `docs/SCOPE-EXTENSION.md` has it.
///
/// # Errors
/// If it is not a sorted, unique SEQUENCE of at most 64 scopes.
pub fn decode_scope(value: &[u8]) -> Result<ScopeSet, DerError> {
    let mut claims = RawClaims::default();
    claims.take(SCOPE, value)?;
    ScopeSet::parse(ScopeTexts::new(value)).map_err(|_| DerError)
}

/// The texts of a checked scope SEQUENCE.
struct ScopeTexts<'a>(Reader<'a>);

impl<'a> ScopeTexts<'a> {
    fn new(sequence: &'a [u8]) -> Self {
        Self(Reader::new(sequence).sequence().unwrap_or(Reader::new(&[])))
    }
}

impl<'a> Iterator for ScopeTexts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.0.read(0x0c).ok().and_then(|octets| core::str::from_utf8(octets).ok())
    }
}

fn check_scopes(sequence: &[u8]) -> Result<&[u8], DerError> {
    let mut r = Reader::new(sequence).sequence()?;
    let mut last = "";
    let mut count = 0;
    while !r.is_empty() {
        let scope = text(r.read(0x0c)?)?;
        count += 1;
        if scope <= last || count > MAX_SCOPES || scope::check(scope).is_err() {
            return Err(DerError);
        }
        last = scope;
    }
    Ok(sequence)
}

fn text(octets: &[u8]) -> Result<&str, DerError> {
    core::str::from_utf8(octets).ok().filter(|t| (1..=128).contains(&t.len())).ok_or(DerError)
}

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), DerError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(DerError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::hex_encode;

    fn claims() -> AgentClaims {
        AgentClaims {
            scope: ScopeSet::parse(["write:payments", "read:accounts"]).unwrap(),
            model_hash: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
                .parse()
                .unwrap(),
            tenant: "tnt_01".parse().unwrap(),
            environment: "production".parse().unwrap(),
            agent: "01923456-789a-7fff-bfff-ffffffffffff".parse().unwrap(),
            constraints: None,
        }
    }

    #[test]
    fn der_equals_the_published_vectors() {
        let mut w = Writer::new();
        claims().write(&Arc::default(), &mut w);
        let hex = hex_encode(&w.into_bytes());
        let vectors = [
            "302f060a2b0601040181fd5901010421301f0c0d726561643a6163636f756e74730c0e77726974653a7061796d656e7473",
            "3057060a2b0601040181fd59010204490c477368613235363a65336230633434323938666331633134396166626634633839393666623932343237616534316534363439623933346361343935393931623738353262383535",
            "3016060a2b0601040181fd59010304080c06746e745f3031",
            "301a060a2b0601040181fd590104040c0c0a70726f64756374696f6e",
        ];
        assert!(hex.starts_with(&vectors.concat()), "{hex}");
    }

    #[test]
    fn round_trips() {
        let original = AgentClaims { constraints: Some([7; 32]), ..claims() };
        let mut w = Writer::new();
        original.write(&Arc::default(), &mut w);
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes);
        let mut raw = RawClaims::default();
        while !r.is_empty() {
            let mut e = r.sequence().unwrap();
            let n = Arc::default().number_of(e.read(0x06).unwrap()).unwrap();
            let value = e.read(0x04).unwrap();
            raw.take(n, value).unwrap();
            assert!(raw.take(n, value).is_err(), "{n} twice");
        }
        assert_eq!(raw.to_owned(), Some(original));
        assert!(
            raw.permits(&"read:accounts".parse().unwrap()) && !raw.permits(&"read:account".parse().unwrap())
        );
    }

    #[test]
    fn scope_that_is_unsorted_doubled_or_malformed_is_refused() {
        let seq = |texts: &[&str]| {
            let mut w = Writer::new();
            w.sequence(|w| texts.iter().for_each(|t| _ = w.utf8(t)));
            w.into_bytes()
        };
        assert!(decode_scope(&seq(&["read:a", "read:b"])).is_ok() && decode_scope(&seq(&[])).is_ok());
        for bad in
            [seq(&["read:b", "read:a"]), seq(&["read:a", "read:a"]), seq(&["read:A"]), seq(&[""]), vec![0x30]]
        {
            assert!(decode_scope(&bad).is_err(), "{bad:x?}");
        }
    }
}
