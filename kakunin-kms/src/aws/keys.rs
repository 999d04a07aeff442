//! What a key is in AWS KMS: a customer key with two tags, and an alias that names it by its planned
//! identifier.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{
    GrantOperation, KeyMetadata, KeySpec, KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec, Tag,
};
use kakunin_core::grant::{KeyGrant, Principal};
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyRef, PlannedKeyId, SignError, Signature, Spki};
use quick_cache::sync::Cache;

use super::calls::{Answer, Calls, Failure, Quota};
use super::config::AwsConfig;
use super::reference::reference;

/// Tags of every key.
const PLANNED_TAG: &str = "kakunin-planned-id";
const DEPLOYMENT_TAG: &str = "kakunin-deployment";
/// Name of every grant.
const GRANT: &str = "kakunin-workload";
/// Public keys that are remembered.
const REMEMBERED: usize = 10_000;

pub(super) struct Keys {
    calls: Calls,
    deployment: String,
    policy: Option<String>,
    deletion_days: i32,
    public: Cache<String, Spki>,
    /// Identifiers of keys that are not of this deployment: tags of other people's keys are read once.
    foreign: Mutex<HashSet<String>>,
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

    fn alias(&self, planned: &PlannedKeyId) -> String {
        format!("alias/kakunin/{}/{planned}", self.deployment)
    }

    /// Makes a key, or finds the one that was made. The alias is the lock: whoever names its key first has
    /// made it, and the other takes its own away.
    pub(super) async fn generate(
        &self,
        planned: &PlannedKeyId,
        algorithm: KeyAlgorithm,
    ) -> Result<KeyRef, SignError> {
        let failed = |failure: Failure| failure.into_error("generate", planned.as_str());
        if let Some(key) = self.describe(&self.alias(planned)).await.map_err(failed)? {
            return standing(&key);
        }
        let made = self.create(planned, algorithm).await?;
        let (arn, alias) = (made.value, self.alias(planned));
        let named = self
            .calls
            .call(Quota::Manage, |kms| kms.create_alias().alias_name(&alias).target_key_id(&arn).send());
        match named.await {
            Ok(_) => {}
            // Named by another call, or by an attempt of this one that was not heard of.
            Err(failure) if failure.is("AlreadyExistsException") => {}
            Err(failure) => return Err(failed(failure)),
        }
        let holder = self.describe(&alias).await.map_err(failed)?;
        let holder =
            holder.ok_or_else(|| SignError::unavailable("generate", planned, "the alias is gone"))?;
        let winner = standing(&holder)?;
        if winner != reference(&arn) {
            self.retire(&arn).await?;
        }
        if made.repeated {
            for stray in self.strays(Some(planned)).await? {
                self.retire(&stray.1).await?;
            }
        }
        Ok(winner)
    }

    async fn create(
        &self,
        planned: &PlannedKeyId,
        algorithm: KeyAlgorithm,
    ) -> Result<Answer<String>, SignError> {
        let spec = match algorithm {
            KeyAlgorithm::Rsa2048 => KeySpec::Rsa2048,
            KeyAlgorithm::Rsa3072 => KeySpec::Rsa3072,
            KeyAlgorithm::Rsa4096 => KeySpec::Rsa4096,
            KeyAlgorithm::P256 => KeySpec::EccNistP256,
            KeyAlgorithm::Ed25519 => KeySpec::EccNistEdwards25519,
            other => return Err(SignError::Unsupported(other)),
        };
        let failed = |why| SignError::unavailable("generate", planned, why);
        let tag = |name: &str, value: &str| {
            Tag::builder().tag_key(name).tag_value(value).build().map_err(|e| failed(e.to_string()))
        };
        let tags = vec![tag(PLANNED_TAG, planned.as_str())?, tag(DEPLOYMENT_TAG, &self.deployment)?];
        let made = self.calls.call(Quota::Create, |kms| {
            kms.create_key()
                .key_spec(spec.clone())
                .key_usage(KeyUsageType::SignVerify)
                .set_policy(self.policy.clone())
                .set_tags(Some(tags.clone()))
                .description("made by kakunin")
                .send()
        });
        let made = made.await.map_err(|failure| failure.into_error("generate", planned.as_str()))?;
        let arn = made.value.key_metadata.and_then(|key| key.arn);
        let value = arn.ok_or_else(|| failed("the answer names no key".to_owned()))?;
        Ok(Answer { value, repeated: made.repeated })
    }

    /// By alias, identifier or ARN; `None` if there is none.
    async fn describe(&self, name: &str) -> Result<Option<KeyMetadata>, Failure> {
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
    async fn not_retired(&self, operation: &'static str, arn: &str) -> Result<(), SignError> {
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

    /// A grant of the same name with the same contents is the same grant, so that asking again is safe.
    pub(super) async fn grant(&self, arn: &str, principal: &Principal) -> Result<KeyGrant, SignError> {
        self.not_retired("grant", arn).await?;
        let asked = self.calls.call(Quota::Manage, |kms| {
            kms.create_grant()
                .key_id(arn)
                .grantee_principal(principal.as_str())
                .operations(GrantOperation::Sign)
                .operations(GrantOperation::GetPublicKey)
                .name(GRANT)
                .send()
        });
        match asked.await {
            Ok(Answer { value, .. }) => Ok(KeyGrant {
                id: value.grant_id.unwrap_or_default(),
                token: value.grant_token.unwrap_or_default(),
            }),
            Err(failure) => Err(self.explained("grant", arn, failure).await),
        }
    }

    /// Ends every grant of that name, on however many pages they are.
    pub(super) async fn ungrant(&self, arn: &str) -> Result<(), SignError> {
        let mut marker: Option<String> = None;
        loop {
            let asked = self
                .calls
                .call(Quota::Manage, |kms| kms.list_grants().key_id(arn).set_marker(marker.clone()).send());
            let page = match asked.await {
                Ok(Answer { value, .. }) => value,
                Err(failure) => return Err(self.explained("list the grants", arn, failure).await),
            };
            let ours =
                page.grants.unwrap_or_default().into_iter().filter(|g| g.name.as_deref() == Some(GRANT));
            for id in ours.filter_map(|grant| grant.grant_id) {
                let asked = self
                    .calls
                    .call(Quota::Manage, |kms| kms.revoke_grant().key_id(arn).grant_id(id.clone()).send());
                match asked.await {
                    Ok(_) => {}
                    // Somebody else ended it.
                    Err(failure)
                        if failure.is("NotFoundException") || failure.is("InvalidGrantIdException") => {}
                    Err(failure) => return Err(self.explained("end a grant", arn, failure).await),
                }
            }
            marker = page.next_marker.filter(|_| page.truncated);
            if marker.is_none() {
                return Ok(());
            }
        }
    }

    /// What a failure says of the key. A key that is being made or changed is in an "invalid state" too, and
    /// one that may not be touched for want of rights can still sign: neither is refused for good.
    async fn explained(&self, operation: &'static str, arn: &str, failure: Failure) -> SignError {
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

    /// Every key of this deployment that is not retired.
    pub(super) async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        let mut held = Vec::new();
        for (planned, id) in self.named().await? {
            let found = self.describe(&id).await.map_err(|f| f.into_error("list", &id))?;
            held.extend(found.and_then(|key| Some(HeldKey { planned, key: standing(&key).ok()? })));
        }
        for (planned, arn) in self.strays(None).await? {
            held.push(HeldKey { planned, key: reference(&arn) });
        }
        Ok(held)
    }

    /// Keys that were made under a planned identifier and are not retired.
    pub(super) async fn find(&self, planned: &PlannedKeyId) -> Result<Vec<KeyRef>, SignError> {
        let failed = |failure: Failure| failure.into_error("find", planned.as_str());
        let named = self.describe(&self.alias(planned)).await.map_err(failed)?;
        let mut found: Vec<_> = named.and_then(|key| standing(&key).ok()).into_iter().collect();
        found.extend(self.strays(Some(planned)).await?.into_iter().map(|(_, arn)| reference(&arn)));
        Ok(found)
    }

    /// Planned identifiers with the identifiers of the keys that have their alias.
    async fn named(&self) -> Result<Vec<(PlannedKeyId, String)>, SignError> {
        let prefix = format!("alias/kakunin/{}/", self.deployment);
        let (mut named, mut marker) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .calls
                .call(Quota::Read, |kms| kms.list_aliases().limit(100).set_marker(marker.clone()).send())
                .await
                .map_err(|failure| failure.into_error("list", "aliases"))?
                .value;
            for alias in page.aliases.unwrap_or_default() {
                let planned = alias.alias_name.as_deref().and_then(|name| name.strip_prefix(&prefix));
                named.extend(planned.and_then(PlannedKeyId::parse).zip(alias.target_key_id));
            }
            marker = page.next_marker;
            if !page.truncated || marker.is_none() {
                return Ok(named);
            }
        }
    }

    /// Keys with this deployment's tags, and no alias of its: planned identifiers and ARNs. Those of one
    /// planned identifier, if it is given.
    async fn strays(&self, of: Option<&PlannedKeyId>) -> Result<Vec<(PlannedKeyId, String)>, SignError> {
        let named: HashSet<String> = self.named().await?.into_iter().map(|(_, id)| id).collect();
        let (mut strays, mut marker) = (Vec::new(), None::<String>);
        loop {
            let page = self
                .calls
                .call(Quota::Read, |kms| kms.list_keys().limit(1_000).set_marker(marker.clone()).send())
                .await
                .map_err(|failure| failure.into_error("list", "keys"))?
                .value;
            for key in page.keys.unwrap_or_default() {
                let Some(id) = key.key_id.filter(|id| !named.contains(id) && !self.foreign().contains(id))
                else {
                    continue;
                };
                match self.planned_as(&id).await? {
                    Some(planned) if of.is_none_or(|of| *of == planned) => {
                        let found = self.describe(&id).await.map_err(|f| f.into_error("list", &id))?;
                        let standing = found.filter(|key| !retired(key)).and_then(|key| key.arn);
                        strays.extend(standing.map(|arn| (planned, arn)));
                    }
                    Some(_) => {}
                    None => _ = self.foreign().insert(id),
                }
            }
            marker = page.next_marker;
            if !page.truncated || marker.is_none() {
                return Ok(strays);
            }
        }
    }

    /// The planned identifier in a key's tags, if the key is of this deployment.
    async fn planned_as(&self, id: &str) -> Result<Option<PlannedKeyId>, SignError> {
        let tags = match self.calls.call(Quota::Read, |kms| kms.list_resource_tags().key_id(id).send()).await
        {
            Ok(answer) => answer.value.tags.unwrap_or_default(),
            // Other people's keys may be closed to us, and deleted ones are gone.
            Err(failure) if failure.is("AccessDeniedException") || failure.is("NotFoundException") => {
                Vec::new()
            }
            Err(failure) => return Err(failure.into_error("list", id)),
        };
        let tag = |name: &str| tags.iter().find(|tag| tag.tag_key == name).map(|tag| tag.tag_value.as_str());
        let ours = tag(DEPLOYMENT_TAG) == Some(self.deployment.as_str());
        Ok(tag(PLANNED_TAG).filter(|_| ours).and_then(PlannedKeyId::parse))
    }

    fn foreign(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn retired(key: &KeyMetadata) -> bool {
    matches!(key.key_state, Some(KeyState::PendingDeletion | KeyState::PendingReplicaDeletion))
}

/// The key's reference, unless it is retired.
fn standing(key: &KeyMetadata) -> Result<KeyRef, SignError> {
    let key_ref = reference(key.arn.as_deref().unwrap_or_default());
    if retired(key) { Err(SignError::Refused { key: key_ref, why: "it is retired" }) } else { Ok(key_ref) }
}
