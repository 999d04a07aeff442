//! Which keys there are: by their aliases, and by the tags of those that have none.

use std::collections::HashSet;
use std::sync::PoisonError;

use kakunin_core::key::{HeldKey, KeyRef, PlannedKeyId, SignError};

use super::calls::{Failure, Quota};
use super::keys::{Keys, retired, standing};
use super::reference::reference;

/// Tags of every key.
pub(super) const PLANNED_TAG: &str = "kakunin-planned-id";
pub(super) const DEPLOYMENT_TAG: &str = "kakunin-deployment";

impl Keys {
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
    pub(super) async fn strays(
        &self,
        of: Option<&PlannedKeyId>,
    ) -> Result<Vec<(PlannedKeyId, String)>, SignError> {
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
