//! A verifier in some agent's process, which follows the revocation feed.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use kakunin_core::id::IssuerId;
use kakunin_core::time::{Clock, SystemClock};
use kakunin_core::x509::ca::Issuer;
use kakunin_verify::RevocationHandle;
use kakunin_verify::feed::{FeedClient, FeedState, Following};
use kakunin_verify::revocation::{RevocationView, Status};
use serde_json::Value;

use super::canary::{Api, Canary};
use super::consumer::Consumer;
use super::error::MonitorError;
use super::options::PAUSE;

/// How long it may take to know everything so far.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the feed of the canary's CA says. The feed key is the one that the server names: this measures time, not trust.
pub(super) struct Feed {
    issuer: IssuerId,
    handle: RevocationHandle,
    following: Following,
}

impl Feed {
    /// Once it knows everything so far.
    pub(super) async fn follow(api: &Api, canary: &Canary) -> Result<Self, MonitorError> {
        let unexpected = |what: &dyn std::fmt::Display| MonitorError::Unexpected(what.to_string());
        let issuer = canary.issuer.first().ok_or_else(|| unexpected(&"a chain without an issuer"))?;
        let issuer = Issuer::from_der(issuer.clone()).map_err(|error| unexpected(&error))?.id();
        let answer: Value = serde_json::from_slice(&api.get("/api/v1/ca").await?.body).unwrap_or_default();
        let key = answer.pointer("/data/feed_verifier").and_then(Value::as_str);
        let key = key.ok_or_else(|| unexpected(&"feed_verifier"))?;
        let handle = RevocationHandle::default();
        let setup = |error| unexpected(&format_args!("revocation feed: {error}"));
        let mut client = FeedClient::new(&api.base, key, handle.clone()).map_err(setup)?.issuer(issuer);
        let private = answer.pointer("/data/authorities").and_then(Value::as_array).is_some_and(|all| {
            all.iter().any(|ca| ca["key_id"] == issuer.to_string() && ca["revocations"] == "private")
        });
        if private {
            client = client.api_key(api.key());
        }
        for root in api.http.trusted() {
            client = client.tls_root(root);
        }
        let feed = Self { issuer, handle, following: client.start().map_err(setup)? };
        let began = Instant::now();
        loop {
            let status = feed.following.status(&issuer).unwrap_or_default();
            if status.state == FeedState::Following {
                return Ok(feed);
            }
            if began.elapsed() > PATIENCE || status.state == FeedState::Forked {
                let why = status.last_error.map_or("nothing came".to_owned(), |(_, why)| why);
                return Err(unexpected(&format_args!("a revocation feed that does not get level ({why})")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[async_trait]
impl Consumer for Feed {
    fn name(&self) -> String {
        "revocation feed".to_owned()
    }

    /// A feed that is cut makes verifiers deny too, and is no word of a revocation.
    async fn refuses(&self, _: &Api, canary: &Canary) -> Result<bool, MonitorError> {
        let (status, _) = self.handle.status(&self.issuer, &canary.serial, SystemClock.now());
        Ok(matches!(status, Status::Revoked(_)))
    }
}
