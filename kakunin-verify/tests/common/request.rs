//! Requests as agents sign them: as they should, and with each part wrong.

use aws_lc_rs::signature::Ed25519KeyPair;
use kakunin_core::id::Serial;
use kakunin_core::key::{Signature, Spki};
use kakunin_core::time::UnixTime;
use kakunin_verify::possession::{
    Authorities, Authority, Nonces, Outgoing, RequestToSign, SignedRequest, prove,
};
use kakunin_verify::{Denied, VerifiedAgent};

use super::{Key, NOW, World, serial};

pub const NONCE: &str = "n-0123456789abcdef";
pub const TARGET: &str = "/payments?to=acme";
/// Under which name the service is reached.
pub const HOST: &str = "api.example.org";

pub fn us() -> Authorities {
    Authorities::new([HOST]).unwrap()
}

/// Room for so many nonces, since ever.
pub fn room(capacity: usize) -> Nonces {
    Nonces::new(capacity, UnixTime::default())
}

/// Room for as many as anybody needs.
pub fn fresh() -> Nonces {
    room(Nonces::DEFAULT_CAPACITY)
}

/// The values of `Signature-Input` and `Signature`.
pub type Fields = (String, String);

pub fn leaf_serial() -> Serial {
    Serial::from_der_integer(&serial(0x42)).unwrap()
}

/// Signs as agents do.
pub fn signed(key: &Key, method: &str, target: &str, nonce: &str, created: UnixTime) -> Fields {
    let request = to_sign(key, (method, target, b""), HOST, nonce, created);
    let signature = Signature::new(key.sign(request.to_be_signed()));
    (request.signature_input().to_owned(), request.signature(&signature).unwrap())
}

pub fn to_sign(
    key: &Key,
    (method, target, content): (&str, &str, &[u8]),
    host: &str,
    nonce: &str,
    created: UnixTime,
) -> RequestToSign {
    let algorithm = Spki::from_der(&key.spki()).unwrap().algorithm();
    let authority: Authority = host.parse().unwrap();
    let outgoing = Outgoing { method, target, authority: &authority, content };
    RequestToSign::new(&outgoing, &leaf_serial(), algorithm, nonce, created)
}

/// Proves a `POST` to [`TARGET`].
pub fn prove_post(
    (input, signature): &Fields,
    agent: &VerifiedAgent,
    nonces: &Nonces,
    now: UnixTime,
) -> Result<(), Denied> {
    once(&SignedRequest::new("POST", TARGET, input, signature), agent, nonces, now)
}

/// Proves and uses up.
pub fn once(
    request: &SignedRequest<'_>,
    agent: &VerifiedAgent,
    nonces: &Nonces,
    now: UnixTime,
) -> Result<(), Denied> {
    prove(request, agent, &us(), now)?.spend(nonces, now)
}

/// A signature base in parts, which this puts together as RFC 9421, 2.5 says, on its own.
#[derive(Clone)]
pub struct Draft {
    pub label: String,
    pub covered: Vec<(String, String)>,
    pub params: Vec<(String, String)>,
}

impl Draft {
    pub fn good() -> Self {
        let pair = |(name, value): (&str, String)| (name.to_owned(), value);
        let covered = [
            ("@method", "POST".to_owned()),
            ("@request-target", TARGET.to_owned()),
            ("@authority", HOST.to_owned()),
        ];
        let params = [
            ("created", NOW.secs().to_string()),
            ("keyid", format!("\"{}\"", leaf_serial())),
            ("nonce", format!("\"{NONCE}\"")),
            ("tag", "\"kakunin-request\"".to_owned()),
        ];
        Self { label: "sig".to_owned(), covered: covered.map(pair).into(), params: params.map(pair).into() }
    }

    /// Covers these, and the service.
    pub fn cover(&mut self, covered: &[(&str, &str)]) {
        let all = covered.iter().chain(&[("@authority", HOST)]);
        self.covered = all.map(|(name, value)| ((*name).into(), (*value).into())).collect();
    }

    /// Gives a parameter another value, or adds it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.params.iter_mut().find(|(n, _)| n == name) {
            Some(param) => param.1 = value,
            None => self.params.push((name.to_owned(), value)),
        }
    }

    pub fn drop(&mut self, name: &str) {
        self.params.retain(|(n, _)| n != name);
    }

    pub fn sign(&self, key: &Ed25519KeyPair) -> Fields {
        let names: Vec<_> = self.covered.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let params: String = self.params.iter().map(|(name, value)| format!(";{name}={value}")).collect();
        let list = format!("({}){params}", names.join(" "));
        let lines: String = self.covered.iter().map(|(n, value)| format!("\"{n}\": {value}\n")).collect();
        let signature = key.sign(format!("{lines}\"@signature-params\": {list}").as_bytes());
        (format!("{}={list}", self.label), format!("{}=:{}:", self.label, base64(signature.as_ref())))
    }
}

pub fn base64(octets: &[u8]) -> String {
    use base64ct::Encoding;
    base64ct::Base64::encode_string(octets)
}

/// A world whose agent has an Ed25519 key, and that key.
pub fn ed25519() -> (World, Ed25519KeyPair) {
    let key = Ed25519KeyPair::generate().unwrap();
    let copy = Ed25519KeyPair::from_pkcs8(key.to_pkcs8().unwrap().as_ref()).unwrap();
    (World::new(Key::p256(), Key::Ed25519(key)), copy)
}
