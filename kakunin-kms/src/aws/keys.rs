//! What a key is in AWS KMS: a customer key with two tags, and an alias that names it by its planned
//! identifier.

use std::collections::HashSet;
use std::sync::Mutex;

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyMetadata, KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec};
use kakunin_core::key::{KeyAlgorithm, KeyRef, PlannedKeyId, SignError, Signature, Spki};
use quick_cache::sync::Cache;

use super::calls::{Answer, Calls, Failure, Quota};
use super::config::AwsConfig;
use super::reference::reference;

/// Public keys that are remembered.
const REMEMBERED: usize = 10_000;

pub(super) struct Keys {
    pub(super) calls: Calls,
    pub(super) deployment: String,
    pub(super) policy: Option<String>,
    deletion_days: i32,
    public: Cache<String, Spki>,
    /// Identifiers of keys that are not of this deployment: tags of other people's keys are read once.
    pub(super) foreign: Mutex<HashSet<String>>,
}

impl Keys {
    pub(super) fn new(config: AwsConfig) -> Result<Self, SignError> {
        let named = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if config.deployment.is_empty()
            || config.deployment.len() > 64
            || !config.deployment.bytes().all(named)
        {
            let why = "the deployment's name in AWS KMS is 1 to 64 letters, digits, `-` and `_`";
            return Err(SignError::Locked(why.to_owned()));
        }
        if !(7..=30).contains(&config.deletion_days) {
            return Err(SignError::Locked("AWS KMS deletes keys after 7 to 30 days".to_owned()));
        }
        Ok(Self {
            calls: Calls::new(config.client(), config.quotas),
            deployment: config.deployment,
            policy: config.key_policy,
            deletion_days: config.deletion_days.into(),
            public: Cache::new(REMEMBERED),
            foreign: Mutex::default(),
        })
    }

    pub(super) fn deployment(&self) -> &str {
        &self.deployment
    }

    pub(super) fn alias(&self, planned: &PlannedKeyId) -> String {
        format!("alias/kakunin/{}/{planned}", self.deployment)
    }

    /// By alias, identifier or ARN; `None` if there is none.
    pub(super) async fn describe(&self, name: &str) -> Result<Option<KeyMetadata>, Failure> {
        match self.calls.call(Quota::Read, |kms| kms.describe_key().key_id(name).send()).await {
            Ok(answer) => Ok(answer.value.key_metadata),
            Err(failure) if failure.is("NotFoundException") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn remember(&self, arn: &str, public: &Spki) {
        self.public.insert(arn.to_owned(), public.clone());
    }

    pub(super) async fn public_key(&self, arn: &str) -> Result<Spki, SignError> {
        if let Some(known) = self.public.get(arn) {
            return Ok(known);
        }
        let asked = self.calls.call(Quota::Read, |kms| kms.get_public_key().key_id(arn).send()).await;
        let answer = match asked {
            Ok(answer) => answer.value,
            Err(failure) => return Err(self.explained("open", arn, failure).await),
        };
        let useless = |why: String| SignError::unavailable("open", reference(arn), why);
        if answer.key_usage != Some(KeyUsageType::SignVerify) {
            return Err(SignError::Refused { key: reference(arn), why: "it was not made to sign" });
        }
        let der = answer.public_key.map(Blob::into_inner).unwrap_or_default();
        let spki = Spki::from_der(&der).map_err(|error| useless(error.to_string()))?;
        self.public.insert(arn.to_owned(), spki.clone());
        Ok(spki)
    }

    pub(super) async fn sign(
        &self,
        arn: &str,
        algorithm: KeyAlgorithm,
        how: SigningAlgorithmSpec,
        message: Vec<u8>,
    ) -> Result<Signature, SignError> {
        let kind =
            if how == SigningAlgorithmSpec::Ed25519Sha512 { MessageType::Raw } else { MessageType::Digest };
        let message = Blob::new(message);
        let asked = self.calls.call(Quota::of(algorithm), |kms| {
            kms.sign()
                .key_id(arn)
                .signing_algorithm(how.clone())
                .message_type(kind.clone())
                .message(message.clone())
                .send()
        });
        match asked.await {
            Ok(Answer { value, .. }) if value.key_id.as_deref() == Some(arn) => {
                Ok(Signature::new(value.signature.map(Blob::into_inner).unwrap_or_default()))
            }
            Ok(_) => Err(SignError::unavailable("sign", reference(arn), "another key signed")),
            Err(failure) => Err(self.explained("sign", arn, failure).await),
        }
    }

    pub(super) async fn disable(&self, arn: &str) -> Result<(), SignError> {
        self.not_retired("disable", arn).await?;
        match self.calls.call(Quota::Manage, |kms| kms.disable_key().key_id(arn).send()).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.explained("disable", arn, failure).await),
        }
    }

    pub(super) async fn enable(&self, arn: &str) -> Result<(), SignError> {
        self.not_retired("enable", arn).await?;
        match self.calls.call(Quota::Manage, |kms| kms.enable_key().key_id(arn).send()).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.explained("enable", arn, failure).await),
        }
    }

    /// AWS KMS refuses to change a key that waits for its deletion; not everything that speaks its API does.
    pub(super) async fn not_retired(&self, operation: &'static str, arn: &str) -> Result<(), SignError> {
        match self.describe(arn).await {
            Ok(Some(key)) => standing(&key).map(drop),
            Ok(None) => Err(SignError::NotFound(reference(arn))),
            Err(failure) => Err(self.explained(operation, arn, failure).await),
        }
    }

    pub(super) async fn retire(&self, arn: &str) -> Result<(), SignError> {
        let days = self.deletion_days;
        let asked = self.calls.call(Quota::Manage, |kms| {
            kms.schedule_key_deletion().key_id(arn).pending_window_in_days(days).send()
        });
        let Err(failure) = asked.await else { return Ok(()) };
        match self.explained("retire", arn, failure).await {
            // It was retired before.
            SignError::Refused { .. } => Ok(()),
            other => Err(other),
        }
    }

    /// What a failure says of the key. A key that is being made or changed is in an "invalid state" too, and
    /// one that may not be touched for want of rights can still sign: neither is refused for good.
    pub(super) async fn explained(&self, operation: &'static str, arn: &str, failure: Failure) -> SignError {
        let key = reference(arn);
        if failure.is("NotFoundException") || failure.is("InvalidArnException") {
            return SignError::NotFound(key);
        }
        if failure.is("DisabledException") {
            return SignError::Refused { key, why: "it is disabled" };
        }
        if failure.is("KMSInvalidStateException")
            && let Ok(Some(found)) = self.describe(arn).await
            && retired(&found)
        {
            return SignError::Refused { key, why: "it is retired" };
        }
        failure.into_error(operation, key.as_str())
    }
}

pub(super) fn retired(key: &KeyMetadata) -> bool {
    matches!(key.key_state, Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion))
}

/// The key's reference, unless it is retired.
pub(super) fn standing(key: &KeyMetadata) -> Result<KeyRef, SignError> {
    let key_ref = reference(key.arn.as_deref().unwrap_or_default());
    if retired(key) { Err(SignError::Refused { key: key_ref, why: "it is retired" }) } else { Ok(key_ref) }
}
