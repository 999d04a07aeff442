//! Endpoints: made, changed, given another secret, taken away.

use crate::agent::Label;
use crate::error::StoreError;
use crate::id::{WebhookId, hex_encode};
use crate::log::entry::LogId;
use crate::service::command::webhook::{
    ChangeWebhook, CreateWebhook, DeleteWebhook, RotateWebhook, WebhookChange,
};
use crate::service::effects::running::Running;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::time::DAY;
use crate::webhook::{
    Scheme, SecretName, WebhookError, WebhookEvent, WebhookFacts, WebhookSecret, WebhookUrl,
};

/// How long a secret that was replaced signs as well, in milliseconds, unless somebody says otherwise.
pub const SECRET_OVERLAP: u64 = DAY;
/// And at the most.
pub const MAX_SECRET_OVERLAP: u64 = 7 * DAY;

/// An endpoint to be made.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    /// Where deliveries go.
    pub url: WebhookUrl,
    /// What it is told.
    pub events: Vec<WebhookEvent>,
    /// How deliveries are written and signed.
    pub scheme: Scheme,
    /// What it is for.
    pub label: Option<Label>,
}

impl Tenant {
    /// Makes an endpoint: it is told what happens from now on. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`Error::Webhook`].
    pub async fn create_webhook(&self, new: NewWebhook) -> Result<(WebhookFacts, WebhookSecret), Error> {
        let inner = &self.inner;
        let NewWebhook { url, events, scheme, label } = new;
        let events = chosen(events)?;
        inner.may_send(&url)?;
        let tenant = inner.tenant(&self.id).await?;
        let created_at = inner.now();
        let id = WebhookId::generate(created_at, &*inner.parts.entropy)?;
        let (name, secret) = inner.new_secret(scheme)?;
        let facts = WebhookFacts {
            id,
            url,
            events,
            scheme,
            label,
            created_at,
            disabled: None,
            secret: name,
            former: None,
        };
        let _order = inner.webhooks.order(&self.id).await;
        // The vault before the record that names it: what is on record works.
        inner.keep_webhook_secret((&self.id, &id), &facts.secret, &secret).await?;
        let created = inner.decide(&tenant, self.by.clone(), CreateWebhook(facts.clone())).await;
        if let Err(error) = created {
            // Where it is in doubt whether that is on record, a secret too many is better than none.
            let certain = !matches!(&error, Error::Store(store) if !matches!(store, StoreError::Full));
            if certain {
                inner.forget_webhook_secrets((&self.id, &id), &[]).await;
            }
            return Err(error);
        }
        Ok((facts, secret))
    }

    /// Changes an endpoint. One that is switched on again goes on where it stopped.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Webhook`].
    pub async fn change_webhook(&self, id: &WebhookId, change: WebhookChange) -> Result<WebhookFacts, Error> {
        let events = change.events.map(chosen).transpose()?;
        change.url.as_ref().map(|url| self.inner.may_send(url)).transpose()?;
        self.order(ChangeWebhook { id: *id, change: WebhookChange { events, ..change } }).await
    }

    /// Gives an endpoint another secret, which is in the answer and nowhere else. The one before signs as well for
    /// `overlap` milliseconds, at most [`MAX_SECRET_OVERLAP`]; with the vendor's schemes, which have room for one signature,
    /// it ends at once.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn rotate_webhook(
        &self,
        id: &WebhookId,
        overlap: u64,
    ) -> Result<(WebhookFacts, WebhookSecret), Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(&self.id).await?;
        let _order = inner.webhooks.order(&self.id).await;
        let scheme = self.webhook(id).await?.scheme;
        let (name, secret) = inner.new_secret(scheme)?;
        inner.keep_webhook_secret((&self.id, id), &name, &secret).await?;
        let overlap = if scheme == Scheme::Standard { overlap.min(MAX_SECRET_OVERLAP) } else { 0 };
        let rotate = RotateWebhook { id: *id, secret: name, until: inner.now().plus(overlap) };
        let facts = inner.decide(&tenant, self.by.clone(), rotate).await?;
        let former = facts.former.as_ref().map(|former| &former.secret);
        let named: Vec<_> = [Some(&facts.secret), former].into_iter().flatten().collect();
        inner.forget_webhook_secrets((&self.id, id), &named).await;
        Ok((facts, secret))
    }

    /// Takes an endpoint away, with all that waits for it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn delete_webhook(&self, id: &WebhookId) -> Result<(), Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(&self.id).await?;
        let _order = inner.webhooks.order(&self.id).await;
        inner.decide(&tenant, self.by.clone(), DeleteWebhook(*id)).await?;
        inner.forget_webhook_secrets((&self.id, id), &[]).await;
        inner.forget_deliveries(&LogId::Tenant(self.id.clone()), id).await
    }
}

impl Running {
    fn may_send(&self, url: &WebhookUrl) -> Result<(), Error> {
        let transport = self.parts.webhooks.as_ref().ok_or(WebhookError::NoneHere)?;
        Ok(transport.check(url).map_err(WebhookError::from)?)
    }

    fn new_secret(&self, scheme: Scheme) -> Result<(SecretName, WebhookSecret), Error> {
        let entropy = &*self.parts.entropy;
        let mut name = [0; 8];
        entropy.fill(&mut name)?;
        let secret = WebhookSecret::generate(scheme, entropy)?;
        Ok((SecretName { name: hex_encode(&name), hint: secret.hint() }, secret))
    }
}

/// In order, each once.
fn chosen(mut events: Vec<WebhookEvent>) -> Result<Vec<WebhookEvent>, WebhookError> {
    if events.is_empty() || !events.iter().all(|event| event.can_be_chosen()) {
        return Err(WebhookError::Events);
    }
    events.sort_unstable();
    events.dedup();
    Ok(events)
}
