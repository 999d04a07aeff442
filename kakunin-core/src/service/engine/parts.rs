//! What a deployment runs on.

use std::sync::Arc;

use super::telling::{Nobody, RecordListener};
use crate::id::{Entropy, SystemEntropy};
use crate::key::KeyProvider;
use crate::risk::{RiskModel, Weighted2};
use crate::store::Store;
use crate::store::audit::AuditSink;
use crate::store::duty::{Alone, Duties};
use crate::store::guard::Guard;
use crate::store::revocations::RevocationStore;
use crate::store::state::StateStore;
use crate::store::vault::{StateVault, Vault};
use crate::time::{Clock, SystemClock};
use crate::webhook::WebhookTransport;

/// What a deployment runs on; each part can be replaced by another that keeps its contract.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Keeps the logs.
    pub sink: Arc<dyn AuditSink>,
    /// Keeps the revocations.
    pub revocations: Arc<dyn RevocationStore>,
    /// Keeps the other projections.
    pub state: Arc<dyn StateStore>,
    /// Keeps secrets; `None`: the state store does, among its rows.
    pub vault: Option<Arc<dyn Vault>>,
    /// Keeps the newest checkpoints outside of the store, and refuses to open an older one; nobody unless it is set.
    pub guard: Option<Arc<dyn Guard>>,
    /// Says which of several processes over the store does what one is to do.
    pub duties: Arc<dyn Duties>,
    /// Makes and keeps keys of certificate authorities and agents.
    pub keys: Arc<dyn KeyProvider>,
    /// Makes and keeps the log key and the feed key, which sign with each append: a provider that is near.
    /// They are Ed25519, and apart from the CA.
    pub log_keys: Arc<dyn KeyProvider>,
    /// Judges the events of tenants that are made from now on: its name goes on record with them. In others it judges once
    /// their policy names it ([`Policy::model`](crate::policy::Policy::model)).
    pub model: Arc<dyn RiskModel>,
    /// Further models, which policies and older records may name. `weighted/1` and `weighted/2` are always there.
    pub models: Vec<Arc<dyn RiskModel>>,
    /// Judges the same events beside it, and only reports: see [`Shadow`](crate::policy::Shadow). What it remembers of an
    /// agent begins when it is first set. Nobody unless it is set.
    pub shadow: Option<Arc<dyn RiskModel>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Sends deliveries to webhooks; `None`: there are no webhooks.
    pub webhooks: Option<Arc<dyn WebhookTransport>>,
    /// Is told what was recorded; nobody unless it is set.
    pub listener: Arc<dyn RecordListener>,
}

impl Parts {
    /// One store for everything, one provider for every key, the default model, the system's clock and
    /// randomness.
    pub fn new<S: Store + 'static>(store: S, keys: Arc<dyn KeyProvider>) -> Self {
        Self::shared(Arc::new(store), keys)
    }

    /// The same over a store that somebody else has too.
    pub fn shared<S: Store + 'static>(store: Arc<S>, keys: Arc<dyn KeyProvider>) -> Self {
        Self {
            sink: store.clone(),
            revocations: store.clone(),
            state: store,
            vault: None,
            guard: None,
            duties: Arc::new(Alone),
            log_keys: keys.clone(),
            keys,
            model: Arc::new(Weighted2::default()),
            models: Vec::new(),
            shadow: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            webhooks: None,
            listener: Arc::new(Nobody),
        }
    }
    /// Whoever keeps the secrets.
    #[must_use]
    pub fn vault(&self) -> Arc<dyn Vault> {
        self.vault.clone().unwrap_or_else(|| Arc::new(StateVault(self.state.clone())))
    }
}
