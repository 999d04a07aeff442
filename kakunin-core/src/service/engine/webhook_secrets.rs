//! Secrets of webhooks: in the vault, encrypted under a key that follows from the log key, each for its own name.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::inner::Inner;
use crate::error::StoreError;
use crate::id::{TenantId, WebhookId};
use crate::service::error::Error;
use crate::webhook::{SecretName, WebhookFacts, WebhookSecret};

/// Octets of a nonce, which stands before what is encrypted.
const NONCE: usize = 24;
/// Secrets of one endpoint at the most, as they lie in the vault: those on record, and leftovers of calls that were cut off.
const MOST: usize = 64;

impl Inner {
    fn webhook_cipher(&self, row: &[u8]) -> XChaCha20Poly1305 {
        let key = Zeroizing::new(self.seal_key.of_secret(row));
        XChaCha20Poly1305::new(&(*key).into())
    }

    /// Keeps a secret of an endpoint, before the record that names it.
    pub(crate) async fn keep_webhook_secret(
        &self,
        (tenant, id): (&TenantId, &WebhookId),
        name: &SecretName,
        secret: &WebhookSecret,
    ) -> Result<(), Error> {
        let row = row(tenant, id, &name.name);
        let mut nonce = [0; NONCE];
        self.parts.entropy.fill(&mut nonce)?;
        let text = Payload { msg: secret.reveal().as_bytes(), aad: &row };
        let sealed = self.webhook_cipher(&row).encrypt(&XNonce::from(nonce), text);
        let sealed = sealed.map_err(|_| StoreError::Corrupt("a secret cannot be encrypted".into()))?;
        Ok(self.parts.vault().put(&row, &[&nonce[..], &sealed].concat()).await?)
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
        let (nonce, sealed) = kept.split_first_chunk::<NONCE>().ok_or_else(lost)?;
        let sealed = Payload { msg: sealed, aad: &row };
        let text = self.webhook_cipher(&row).decrypt(&XNonce::from(*nonce), sealed).map_err(|_| lost())?;
        let text = Zeroizing::new(text);
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
