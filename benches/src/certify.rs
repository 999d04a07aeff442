//! Agents that are to be certified, and how they ask for it over HTTP.

use kakunin_core::agent::NewAgent;
use kakunin_core::id::TenantId;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::service::Kakunin;
use kakunin_core::x509::csr::RequestToSign;
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use serde_json::{Value, json};

/// The model that agents of benchmarks run.
pub const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// PKCS#10 requests, PEM, each of a P-256 key of its own.
///
/// # Panics
/// If the system has no randomness.
pub async fn signing_requests(count: usize) -> Vec<String> {
    let mut all = Vec::with_capacity(count);
    let keys = LocalKeys::ephemeral();
    for n in 0..count {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&u64::try_from(n).unwrap().to_be_bytes());
        let key = keys.generate(&PlannedKeyId::new(id), KeyAlgorithm::P256).await.unwrap();
        let signer = keys.open(&key).await.unwrap();
        let request = RequestToSign::new(signer.public_key());
        let signature = signer.sign(request.to_be_signed()).await.unwrap();
        all.push(pem::encode(pem::CERTIFICATE_REQUEST, &request.assemble(&signature)));
    }
    all
}

/// A POST of JSON, with these header lines beside those that it needs.
#[must_use]
pub fn post(path: &str, lines: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{lines}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Registers an agent for each of these signing requests, and gives the HTTP requests that certify them.
///
/// # Panics
/// If the deployment refuses.
pub async fn certifications(
    kakunin: &Kakunin,
    tenant: &TenantId,
    key: &str,
    requests: &[String],
) -> Vec<Vec<u8>> {
    let authorization = format!("authorization: Bearer {key}\r\n");
    let numbers: Vec<usize> = (0..requests.len()).collect();
    let mut all = Vec::with_capacity(requests.len());
    // So many at once that they share appends.
    for some in numbers.chunks(512) {
        let register = |n: &usize| {
            let (kakunin, tenant) = (kakunin.clone(), tenant.clone());
            let spec = NewAgent::new(&format!("agent-{n}"), MODEL, ["read:accounts"]).unwrap();
            tokio::spawn(async move { kakunin.tenant(&tenant).register(spec).await.unwrap().id })
        };
        let registered: Vec<_> = some.iter().map(register).collect();
        for (n, id) in some.iter().zip(registered) {
            let path = format!("/api/v1/agents/{}/certify", id.await.unwrap());
            all.push(post(&path, &authorization, &json!({ "csr": requests[*n] })));
        }
    }
    all
}
