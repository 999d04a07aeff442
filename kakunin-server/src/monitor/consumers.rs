//! Who has to learn of a revocation, and how that is seen from outside.

use std::collections::BTreeSet;

use async_trait::async_trait;
use axum::http::{Method, Uri};
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid::Arc;
use serde_json::Value;

use super::canary::{ACTION, Api, Canary};
use super::consumer::Consumer;
use super::error::MonitorError;
use super::feed::Feed;
use super::options::Options;

/// All that are timed.
pub(super) async fn all(
    options: &Options,
    api: &Api,
    canary: &Canary,
) -> Result<Vec<Box<dyn Consumer>>, MonitorError> {
    let shard = distribution_point(canary)?;
    let full = shard.rsplit_once('/').map(|(folder, _)| format!("{folder}/full.crl")).unwrap_or_default();
    let mut all: Vec<Box<dyn Consumer>> = vec![
        Box::new(Check),
        Box::new(Verify),
        Box::new(Feed::follow(api, canary).await?),
        Box::new(Crl("CRL shard", shard)),
        Box::new(Crl("full CRL", full)),
    ];
    // One that is named twice is one: its name tells it from others.
    for url in options.probes.iter().collect::<BTreeSet<_>>() {
        all.push(Box::new(Probe(url.clone())));
    }
    Ok(all)
}

/// Path of the CRL that the certificate names; it is asked for at the URL that is monitored.
fn distribution_point(canary: &Canary) -> Result<String, MonitorError> {
    let missing = || MonitorError::Unexpected("a certificate without a CRL distribution point".to_owned());
    let view = CertificateView::parse(&canary.der, &Arc::default()).map_err(|_| missing())?;
    let uri: Uri = view.extensions.crl_uri.and_then(|uri| uri.parse().ok()).ok_or_else(missing)?;
    Ok(uri.path().to_owned())
}

struct Check;

#[async_trait]
impl Consumer for Check {
    fn name(&self) -> String {
        "gateway check".to_owned()
    }

    async fn refuses(&self, api: &Api, canary: &Canary) -> Result<bool, MonitorError> {
        Ok(canary.ask(api, ACTION).await?.status != 200)
    }
}

struct Verify;

#[async_trait]
impl Consumer for Verify {
    fn name(&self) -> String {
        "verify/{serial}".to_owned()
    }

    async fn refuses(&self, api: &Api, canary: &Canary) -> Result<bool, MonitorError> {
        let answer = api.get(&format!("/api/v1/verify/{}", canary.serial)).await?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Ok(answer.status == 200 && json.pointer("/data/status").is_some_and(|status| status == "revoked"))
    }
}

/// A CRL, by its name and path.
struct Crl(&'static str, String);

#[async_trait]
impl Consumer for Crl {
    fn name(&self) -> String {
        self.0.to_owned()
    }

    async fn refuses(&self, api: &Api, canary: &Canary) -> Result<bool, MonitorError> {
        let answer = api.get(&self.1).await?;
        // An INTEGER of 16 random octets stands in a CRL for one certificate only.
        let entry = [&[2, 16], &canary.serial.as_bytes()[..]].concat();
        Ok(answer.status == 200 && answer.body.windows(entry.len()).any(|octets| octets == entry))
    }
}

/// Something behind a gateway, by its URL.
struct Probe(String);

#[async_trait]
impl Consumer for Probe {
    fn name(&self) -> String {
        self.0.clone()
    }

    async fn refuses(&self, api: &Api, canary: &Canary) -> Result<bool, MonitorError> {
        match api.http.send(&self.0, Method::GET, &[], Vec::new(), Some(canary.shown()?)).await {
            Ok(answer) => Ok(!(200..300).contains(&answer.status)),
            // A handshake that fails is a refusal too; a gateway that is not there is none.
            Err(MonitorError::Http(..)) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
