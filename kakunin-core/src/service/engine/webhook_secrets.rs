//! Secrets of webhooks: in the vault, encrypted under a key that follows from the log key, each for its own name.

use super::inner::Inner;
use crate::error::StoreError;
use crate::id::{TenantId, WebhookId};
use crate::service::error::Error;
use crate::webhook::{SecretName, WebhookFacts, WebhookSecret};

/// Secrets of one endpoint at the most, as they lie in the vault: those on record, and leftovers of calls that were cut off.
const MOST: usize = 64;

impl Inner {
    /// Keeps a secret of an endpoint, before the record that names it.
    pub(crate) async fn keep_webhook_secret(
        &self,
        (tenant, id): (&TenantId, &WebhookId),
        name: &SecretName,
        secret: &WebhookSecret,
    ) -> Result<(), Error> {
        let row = row(tenant, id, &name.name);
        let kept = self.seal_key.wrap(&row, secret.reveal().as_bytes(), &*self.parts.entropy)?;
        Ok(self.parts.vault().put(&row, &kept).await?)
    }

    /// The secret of that name.
    pub(crate) async fn webhook_secret(
        &self,
        tenant: &TenantId,
        facts: &WebhookFacts,
        name: &SecretName,
    ) -> Result<WebhookSecret, Error> {
        let lost =
            || StoreError::Corrupt(format!("the vault has no secret of webhook {}; rotate it", facts.id));
        let row = row(tenant, &facts.id, &name.name);
        let kept = self.parts.vault().get(&row).await?.ok_or_else(lost)?;
        let text = self.seal_key.unwrap(&row, &kept).ok_or_else(lost)?;
        let text = core::str::from_utf8(&text).map_err(|_| lost())?;
        Ok(WebhookSecret::parse(facts.scheme, text).map_err(|_| lost())?)
    }

    /// Forgets the secrets of an endpoint but those that are named. One that stays signs nothing: the record says which do.
    pub(crate) async fn forget_webhook_secrets(
        &self,
        (tenant, id): (&TenantId, &WebhookId),
        keep: &[&SecretName],
    ) {
        let (vault, prefix) = (self.parts.vault(), row(tenant, id, ""));
        let Ok(kept) = vault.list(&prefix, MOST).await else { return };
        let stays = |name: &[u8]| keep.iter().any(|keep| row(tenant, id, &keep.name) == name);
        let gone: Vec<_> = kept.into_iter().map(|(name, _)| name).filter(|name| !stays(name)).collect();
        let _ = vault.remove(&gone).await;
    }
}

fn row(tenant: &TenantId, id: &WebhookId, name: &str) -> Vec<u8> {
    format!("webhook/{tenant}/{id}/{name}").into_bytes()
}
