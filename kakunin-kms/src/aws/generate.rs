//! Making a key once, whoever else makes it at the same time.

use aws_sdk_kms::types::{KeySpec, KeyUsageType, Tag};
use kakunin_core::key::{KeyAlgorithm, KeyRef, PlannedKeyId, SignError};

use super::calls::{Answer, Failure, Quota};
use super::inventory::{DEPLOYMENT_TAG, PLANNED_TAG};
use super::keys::{Keys, standing};
use super::reference::reference;

impl Keys {
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
}
