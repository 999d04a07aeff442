//! Agents of the demo: each makes its own key, is certified for it, and signs each request with it.

use std::io::Read;
use std::sync::Arc;

use axum::http::Method;
use kakunin_core::id::{Serial, SystemEntropy, hex_encode, uuid_v7};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::time::{Clock, SystemClock, UnixTime};
use kakunin_core::x509::csr::RequestToSign as Csr;
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use kakunin_verify::possession::{
    Authority, CERTIFICATE_HEADER, Outgoing, RequestToSign, write_certificates,
};
use serde_json::json;

use super::client::{Answer, Client, JSON};
use super::error::DemoError;

/// Recorded calls of honest agents of one trade, in which nothing went wrong.
const HONEST: &[u8] = include_bytes!("../../assets/honest.jsonl.gz");
const MODEL_HASH: &str = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
/// What that trade needs.
pub(super) const SCOPE: [&str; 13] = [
    "auth:payments",
    "read:accounts",
    "read:calendar",
    "read:clock",
    "read:email",
    "read:files",
    "read:web",
    "write:calendar",
    "write:downloads",
    "write:email",
    "write:files",
    "write:payments",
    "write:web",
];
const CHECK: &str = "/api/v1/gateway/check";

/// One recorded call.
#[derive(Clone, Debug, serde::Deserialize)]
pub(super) struct Call {
    instance: usize,
    pub(super) session: String,
    pub(super) action: String,
    pub(super) tool: String,
}

/// The calls of each instance.
pub(super) fn honest_calls(instances: usize) -> Result<Vec<Vec<Call>>, DemoError> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(HONEST).read_to_string(&mut text)?;
    let mut calls = vec![Vec::new(); instances];
    for line in text.lines() {
        let call: Call = serde_json::from_str(line).map_err(|error| DemoError::Story(error.to_string()))?;
        if let Some(list) = calls.get_mut(call.instance) {
            list.push(call);
        }
    }
    Ok(calls)
}

/// An instance with a key that only it has.
#[derive(Debug)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// Its identifier.
    pub id: String,
    /// Serial number of its certificate.
    pub serial: Serial,
    certificate: String,
    der: Vec<u8>,
    signer: Arc<dyn Signer>,
    client: Client,
}

impl Agent {
    /// Registers and certifies an instance: its operator by the API, the key made by the instance.
    ///
    /// # Errors
    /// [`DemoError`] if the API refuses.
    pub async fn start(name: &str, scope: &[&str], operator: &Client) -> Result<Self, DemoError> {
        let name = name.to_owned();
        let registered = json!({
            "name": name, "model_hash": MODEL_HASH, "fleet": "assistants", "operator_org": "Example Bank",
            "permitted_actions": scope,
        });
        let registered = expect(operator.post("/api/v1/agents", &registered).await?, 201)?;
        let id = registered.text("id");
        let keys = LocalKeys::ephemeral();
        let key = keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256).await?;
        let signer = keys.open(&key).await?;
        let csr = Csr::new(signer.public_key());
        let signature = signer.sign(csr.to_be_signed()).await?;
        let csr = pem::encode(pem::CERTIFICATE_REQUEST, &csr.assemble(&signature));
        let path = format!("/api/v1/agents/{id}/certify");
        let issued = expect(operator.post(&path, &json!({ "csr": csr })).await?, 201)?;
        let malformed = |what: &str| DemoError::Story(format!("the {what} does not parse"));
        let serial = issued.text("serial_number").parse().map_err(|_| malformed("serial number"))?;
        let der = pem::decode(pem::CERTIFICATE, &issued.text("certificate_pem"));
        let mut der = der.map_err(|_| malformed("certificate"))?;
        let certificate = write_certificates(&der);
        let der = der.pop().ok_or_else(|| malformed("certificate"))?;
        Ok(Self { name, id, serial, certificate, der, signer, client: operator.without_key() })
    }

    /// Its certificate, DER.
    #[must_use]
    pub fn certificate_der(&self) -> Vec<u8> {
        self.der.clone()
    }

    /// Asks the gateway whether it may, as the gateway would: with a request that this instance signed.
    ///
    /// # Errors
    /// [`DemoError`] if there is no answer; a refusal is one.
    pub async fn ask(&self, action: &str, tool: &str, session: &str) -> Result<Answer, DemoError> {
        let body = json!({ "action": action, "tool": tool, "session_id": session }).to_string().into_bytes();
        let fields = self.sign("POST", CHECK, &body).await?;
        let mut headers = vec![JSON];
        headers.extend(fields.iter().map(|(name, value)| (*name, value.as_str())));
        self.client.send(Method::POST, CHECK, &headers, body).await
    }

    /// The header fields with which it presents itself for one request to the server.
    ///
    /// # Errors
    /// [`DemoError`] if its key does not sign.
    pub async fn sign(
        &self,
        method: &str,
        target: &str,
        content: &[u8],
    ) -> Result<Vec<(&'static str, String)>, DemoError> {
        self.sign_for(self.client.base(), method, target, content).await
    }

    /// The same, for one to another service, by its URL or host.
    ///
    /// # Errors
    /// [`DemoError`] if that is none, or the key does not sign.
    pub async fn sign_for(
        &self,
        service: &str,
        method: &str,
        target: &str,
        content: &[u8],
    ) -> Result<Vec<(&'static str, String)>, DemoError> {
        self.sign_at(SystemClock.now(), service, method, target, content).await
    }

    /// The same, as at another time.
    ///
    /// # Errors
    /// As [`Agent::sign_for`].
    pub async fn sign_at(
        &self,
        now: UnixTime,
        service: &str,
        method: &str,
        target: &str,
        content: &[u8],
    ) -> Result<Vec<(&'static str, String)>, DemoError> {
        fn wrong(error: impl std::fmt::Display) -> DemoError {
            DemoError::Story(error.to_string())
        }
        let random = uuid_v7(now, &SystemEntropy).map_err(wrong)?;
        let authority: Authority = service.parse().map_err(wrong)?;
        let outgoing = Outgoing { method, target, authority: &authority, content };
        let nonce = hex_encode(&random);
        let request = RequestToSign::new(&outgoing, &self.serial, self.signer.algorithm(), &nonce, now);
        let signature = self.signer.sign(request.to_be_signed()).await?;
        let signature = request.signature(&signature).map_err(wrong)?;
        let mut fields = vec![
            (CERTIFICATE_HEADER, self.certificate.clone()),
            ("signature-input", request.signature_input().to_owned()),
            ("signature", signature),
        ];
        fields.extend(request.content_digest().map(|digest| ("content-digest", digest.to_owned())));
        Ok(fields)
    }
}

/// The answer, if it has the status that the story needs.
pub(super) fn expect(answer: Answer, status: u16) -> Result<Answer, DemoError> {
    if answer.status.as_u16() == status {
        Ok(answer)
    } else {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Err(DemoError::Story(format!("an answer is {}, not {status}: {text}", answer.status)))
    }
}
