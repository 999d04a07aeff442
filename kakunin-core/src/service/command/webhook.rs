//! Endpoints that a tenant's log is told to.

use super::decide::{Command, Need};
use super::draft::Draft;
use crate::agent::Label;
use crate::id::WebhookId;
use crate::log::record::Control;
use crate::service::error::Error;
use crate::time::UnixTime;
use crate::webhook::{
    Disabled, FormerSecret, MAX_WEBHOOKS, SecretName, WebhookError, WebhookEvent, WebhookFacts, WebhookUrl,
};

const NO_WEBHOOK: Error = Error::NotFound("webhook");

/// Makes an endpoint; its secret is in the vault.
#[derive(Clone)]
pub(crate) struct CreateWebhook(pub(crate) WebhookFacts);

impl Command for CreateWebhook {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        if draft.own().webhooks.ids().count() >= MAX_WEBHOOKS {
            return Err(WebhookError::TooMany.into());
        }
        Ok(draft.push_own(Control::WebhookCreated(self.0))?)
    }
}

/// What of an endpoint is to be otherwise; what is not given stays.
#[derive(Clone, Debug, Default)]
pub struct WebhookChange {
    /// Where deliveries go.
    pub url: Option<WebhookUrl>,
    /// What it is told.
    pub events: Option<Vec<WebhookEvent>>,
    /// What it is for.
    pub label: Option<Label>,
    /// Whether deliveries are sent. Once they are again, it goes on where it stopped.
    pub active: Option<bool>,
}

/// Changes an endpoint.
#[derive(Clone)]
pub(crate) struct ChangeWebhook {
    pub(crate) id: WebhookId,
    pub(crate) change: WebhookChange,
}

impl Command for ChangeWebhook {
    const NEED: Need = Need::Ordinary;
    type Answer = WebhookFacts;

    fn decide(self, draft: &mut Draft<'_>) -> Result<WebhookFacts, Error> {
        let WebhookChange { url, events, label, active } = self.change;
        changed(draft, &self.id, |facts| WebhookFacts {
            url: url.unwrap_or(facts.url),
            events: events.unwrap_or(facts.events),
            label: label.or(facts.label),
            disabled: match active {
                Some(true) => None,
                Some(false) => facts.disabled.or(Some(Disabled::Ordered)),
                None => facts.disabled,
            },
            ..facts
        })
    }
}

/// Gives an endpoint another secret, which is in the vault; the one before signs as well until then.
#[derive(Clone)]
pub(crate) struct RotateWebhook {
    pub(crate) id: WebhookId,
    pub(crate) secret: SecretName,
    pub(crate) until: UnixTime,
}

impl Command for RotateWebhook {
    const NEED: Need = Need::Ordinary;
    type Answer = WebhookFacts;

    fn decide(self, draft: &mut Draft<'_>) -> Result<WebhookFacts, Error> {
        let Self { id, secret, until } = self;
        changed(draft, &id, |facts| {
            let former = Some(FormerSecret { secret: facts.secret, until });
            WebhookFacts { secret, former, ..facts }
        })
    }
}

/// Sends nothing there any more, because of what came of it.
#[derive(Clone)]
pub(crate) struct DisableWebhook {
    pub(crate) id: WebhookId,
    /// Where it was sent: what comes of a former URL says nothing of the one that it has now.
    pub(crate) url: WebhookUrl,
    pub(crate) why: Disabled,
}

impl Command for DisableWebhook {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let Self { id, url, why } = self;
        let endpoint = draft.own().webhooks.get(&id).ok_or(NO_WEBHOOK)?;
        if endpoint.facts.is_active() && endpoint.facts.url == url {
            draft.push_own(Control::WebhookDisabled { id, why })?;
        }
        Ok(())
    }
}

/// Takes an endpoint away.
#[derive(Clone)]
pub(crate) struct DeleteWebhook(pub(crate) WebhookId);

impl Command for DeleteWebhook {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        draft.own().webhooks.get(&self.0).ok_or(NO_WEBHOOK)?;
        Ok(draft.push_own(Control::WebhookDeleted { id: self.0 })?)
    }
}

/// Records an endpoint as it is from now on; one that is so already is not recorded again.
fn changed(
    draft: &mut Draft<'_>,
    id: &WebhookId,
    change: impl FnOnce(WebhookFacts) -> WebhookFacts,
) -> Result<WebhookFacts, Error> {
    let before = draft.own().webhooks.get(id).ok_or(NO_WEBHOOK)?.facts.clone();
    let after = change((*before).clone());
    if after != *before {
        draft.push_own(Control::WebhookChanged(after.clone()))?;
    }
    Ok(after)
}
