//! An agent that is there to lose its certificate.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use axum::http::Method;
use kakunin_core::id::{Serial, SystemEntropy, hex_encode, uuid_v7};
use kakunin_core::key::{KeyAlgorithm, Signature, Spki};
use kakunin_core::time::{Clock, SystemClock};
use kakunin_core::x509::csr::RequestToSign as Csr;
use kakunin_core::x509::pem;
use kakunin_verify::feed::http::Shown;
use kakunin_verify::possession::{
    Authority, CERTIFICATE_HEADER, Outgoing, RequestToSign, write_certificates,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use super::error::MonitorError;
use super::http::{Answer, Http};
use super::options::Options;

/// What the canary may do, until it may not.
pub(super) const ACTION: &str = "read:canary";
const CHECK: &str = "/api/v1/gateway/check";
/// Says of the canary's model that it has none.
const NO_MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// More refusals than any agent outlives.
const MOST_REFUSALS: usize = 2_000;

/// The deployment, as an operator reaches it.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) http: Http,
    pub(super) base: String,
    bearer: String,
}

/// An agent with its own key and a certificate.
#[derive(Debug)]
pub(super) struct Canary {
    id: String,
    pub(super) serial: Serial,
    pub(super) der: Vec<u8>,
    /// Its issuing CA, and so on up to the root.
    pub(super) issuer: Vec<Vec<u8>>,
    key: EcdsaKeyPair,
}

fn unexpected(what: &str) -> MonitorError {
    MonitorError::Unexpected(what.to_owned())
}

impl Api {
    pub(super) fn new(options: &Options, http: Http) -> Result<Self, MonitorError> {
        let path = &options.key_file;
        let key = std::fs::read_to_string(path)
            .map_err(|source| MonitorError::KeyFile { path: path.clone(), source })?;
        let key = key.trim();
        if key.is_empty() || !key.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(MonitorError::NoKey(path.clone()));
        }
        let base = options.url.trim_end_matches('/').to_owned();
        if !http.client(&base, None)?.is_confidential() {
            return Err(MonitorError::PlainKey);
        }
        Ok(Self { http, base, bearer: format!("Bearer {key}") })
    }

    /// As anybody asks; with the key, if that is not for everybody.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, MonitorError> {
        let url = format!("{}{path}", self.base);
        let answer = self.http.send(&url, Method::GET, &[], Vec::new(), None).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let fields = [("authorization", self.bearer.as_str())];
        self.http.send(&url, Method::GET, &fields, Vec::new(), None).await
    }

    /// Its key.
    pub(super) fn key(&self) -> &str {
        self.bearer.trim_start_matches("Bearer ")
    }

    async fn order(&self, method: Method, path: &str, body: &Value) -> Result<Value, MonitorError> {
        let fields = [("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        let url = format!("{}/api/v1{path}", self.base);
        let body = if method == Method::DELETE { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.http.send(&url, method, &fields, body, None).await?;
        if !(200..300).contains(&answer.status) {
            let text = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
            return Err(MonitorError::Refused { what: path.to_owned(), status: answer.status, text });
        }
        let mut json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(json.get_mut("data").map(Value::take).unwrap_or_default())
    }
}

fn text(value: &Value, name: &str) -> Result<String, MonitorError> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| unexpected(name))
}

impl Canary {
    /// Registers an agent and has its own key certified.
    pub(super) async fn hatch(api: &Api) -> Result<Self, MonitorError> {
        // A name for each: while one is suspended, there is no other of its name.
        let random = uuid_v7(SystemClock.now(), &SystemEntropy).map_err(|_| unexpected("identifier"))?;
        let name = format!("canary-{}", hex_encode(&random));
        let new = json!({ "name": name, "model_hash": NO_MODEL, "scope": [ACTION], "fleet": "monitor" });
        let id = text(&api.order(Method::POST, "/agents", &new).await?, "id")?;
        match Self::certified(api, &id).await {
            Ok(canary) => Ok(canary),
            Err(error) => {
                // The first error says more than this one would.
                let _ = retire(api, &id).await;
                Err(error)
            }
        }
    }

    async fn certified(api: &Api, id: &str) -> Result<Self, MonitorError> {
        let no_key = |_| unexpected("key");
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(no_key)?;
        let spki =
            AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(key.public_key()).map_err(no_key)?;
        let csr = Csr::new(&Spki::from_der(spki.as_ref()).map_err(|_| unexpected("key"))?);
        let signature = sign(&key, csr.to_be_signed())?;
        let csr = pem::encode(pem::CERTIFICATE_REQUEST, &csr.assemble(&signature));
        let issued =
            api.order(Method::POST, &format!("/agents/{id}/certify"), &json!({ "csr": csr })).await?;
        let serial = text(&issued, "serial_number")?.parse().map_err(|_| unexpected("serial_number"))?;
        let read = |name: &'static str| {
            pem::decode(pem::CERTIFICATE, &text(&issued, name)?).map_err(|_| unexpected(name))
        };
        let (der, issuer) = (read("certificate_pem")?.into_iter().next(), read("chain_pem")?);
        let der = der.ok_or_else(|| unexpected("certificate_pem"))?;
        Ok(Self { id: id.to_owned(), serial, der, issuer, key })
    }

    /// Takes its certificate away, by order or by its own doing. The answer means that it is gone.
    pub(super) async fn revoke(&self, api: &Api, by_score: bool) -> Result<(), MonitorError> {
        if !by_score {
            let path = format!("/certificates/{}/revoke", self.serial);
            let reason = json!({ "reason": "operator_initiated" });
            return api.order(Method::POST, &path, &reason).await.map(drop);
        }
        for n in 0..MOST_REFUSALS {
            let answer = self.ask(api, &format!("delete:canary-{n}")).await?;
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            match body.get("code").and_then(Value::as_str) {
                Some("scope_violation") => {}
                Some("agent_revoked") => return Ok(()),
                _ => return Err(unexpected("an answer to what is out of scope")),
            }
        }
        Err(unexpected("a canary that is refused and not revoked"))
    }

    /// Asks the gateway check with a request that it signs.
    pub(super) async fn ask(&self, api: &Api, action: &str) -> Result<Answer, MonitorError> {
        let now = SystemClock.now();
        let nonce = uuid_v7(now, &SystemEntropy).map_err(|_| unexpected("entropy"))?;
        let body = json!({ "action": action }).to_string().into_bytes();
        let authority: Authority = api.base.parse().map_err(|_| unexpected("the host of --url"))?;
        let outgoing = Outgoing { method: "POST", target: CHECK, authority: &authority, content: &body };
        let nonce = hex_encode(&nonce);
        let request = RequestToSign::new(&outgoing, &self.serial, KeyAlgorithm::P256, &nonce, now);
        let signature = sign(&self.key, request.to_be_signed())?;
        let signature = request.signature(&signature).map_err(|_| unexpected("signature"))?;
        let certificate = write_certificates(&[&self.der]);
        let fields = [
            ("content-type", "application/json"),
            ("content-digest", request.content_digest().unwrap_or_default()),
            (CERTIFICATE_HEADER, certificate.as_str()),
            ("signature-input", request.signature_input()),
            ("signature", &signature),
        ];
        api.http.send(&format!("{}{CHECK}", api.base), Method::POST, &fields, body, None).await
    }

    /// What it shows in a handshake.
    pub(super) fn shown(&self) -> Result<Shown, MonitorError> {
        let key = self.key.to_pkcs8v1().map_err(|_| unexpected("key"))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
        // Without the root, which everybody has to have.
        let above = self.issuer.split_last().map_or(&[][..], |(_, above)| above);
        let chain = std::iter::once(&self.der).chain(above);
        Ok((chain.map(|der| CertificateDer::from(der.clone())).collect(), key))
    }

    /// Leaves nothing behind but its records.
    pub(super) async fn retire(&self, api: &Api) -> Result<(), MonitorError> {
        retire(api, &self.id).await
    }
}

async fn retire(api: &Api, id: &str) -> Result<(), MonitorError> {
    api.order(Method::DELETE, &format!("/agents/{id}"), &Value::Null).await.map(drop)
}

fn sign(key: &EcdsaKeyPair, message: &[u8]) -> Result<Signature, MonitorError> {
    let signature = key.sign(&SystemRandom::new(), message).map_err(|_| unexpected("signature"))?;
    Ok(Signature::new(signature.as_ref().to_vec()))
}
