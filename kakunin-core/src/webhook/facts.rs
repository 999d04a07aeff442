//! An endpoint, as it is on record.

use super::event::WebhookEvent;
use super::scheme::Scheme;
use super::url::WebhookUrl;
use crate::agent::Label;
pub use crate::id::WebhookId;
use crate::time::UnixTime;
use crate::words::words;

words! {
    /// Why nothing is sent to an endpoint.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    #[non_exhaustive]
    pub enum Disabled {
        /// Somebody ordered it.
        Ordered = "ordered",
        /// The receiver answered 410: nobody wants anything there any more.
        Gone = "gone",
        /// Nothing came through for days.
        Failing = "failing",
    }
}

/// An endpoint, as it is on record. Its secrets are in the vault, under the names that stand here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WebhookFacts {
    /// Which.
    pub id: WebhookId,
    /// Where deliveries go.
    pub url: WebhookUrl,
    /// What it is told, in order, each once.
    pub events: Vec<WebhookEvent>,
    /// How deliveries are written and signed; it stays.
    pub scheme: Scheme,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// When it was made.
    pub created_at: UnixTime,
    /// Why nothing is sent, if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// The secret that signs.
    pub secret: SecretName,
    /// The one before it, which signs as well until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerSecret>,
}

/// What a secret is called, and the characters at its end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SecretName {
    /// Under which name it is in the vault: 16 hex digits.
    pub name: String,
    /// Its last characters.
    pub hint: String,
}

/// A secret that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FormerSecret {
    /// Which.
    pub secret: SecretName,
    /// Until when it signs as well.
    pub until: UnixTime,
}

impl WebhookFacts {
    /// Whether deliveries are sent.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.disabled.is_none()
    }

    /// The secret that still signs beside the newest one.
    #[must_use]
    pub fn former_at(&self, now: UnixTime) -> Option<&SecretName> {
        self.former.as_ref().filter(|former| now < former.until).map(|former| &former.secret)
    }
}
