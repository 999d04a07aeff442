//! What is open of a deployment: its logs, what they amount to in memory, and what it runs on.

use std::collections::HashMap;
use std::sync::Arc;

use super::cas::Cas;
use super::commits::Commits;
use super::damage::Damages;
use super::heard::Heard;
use super::lead::Lead;
use super::ledger::Ledger;
use super::on_record::OnRecord;
use super::origins::Origins;
use super::parts::Parts;
use super::payloads::SealedSink;
use super::recent::Recent;
use super::scopes::Scopes;
use super::seal::SealKey;
use super::secret::{self, TokenSecret};
use super::tenant::TenantLog;
use super::turns::Turns;
use crate::event::TokenKey;
use crate::id::TenantId;
use crate::issue::Place;
use crate::key::Signer;
use crate::log::entry::LogId;
use crate::log::note::VerifierKey;
use crate::revoke::LiveRevocations;
use crate::risk::Models;
use crate::service::error::Error;
use crate::service::state::api_keys::ApiKeys;
use crate::service::state::bound::BoundKeys;
use crate::service::state::serials::Serials;
use crate::service::state::settings::Settings;
use crate::service::state::system::known::Known;
use crate::time::UnixTime;

/// What is open of a deployment.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Its sink is the one below.
    pub(crate) parts: Parts,
    /// The sink, which knows what was erased.
    pub(crate) payloads: Arc<SealedSink>,
    pub(crate) settings: Settings,
    pub(crate) models: Models,
    pub(crate) place: Place,
    pub(crate) origins: Origins,
    pub(crate) cas: Cas,
    pub(crate) log_signer: Arc<dyn Signer>,
    pub(crate) seal_key: SealKey,
    pub(crate) damages: Damages,
    pub(crate) token_secret: TokenSecret,
    pub(crate) system: async_lock::Mutex<Ledger>,
    /// What that log amounts to.
    pub(crate) known: Arc<Known>,
    /// Tenants that were asked for.
    pub(crate) loaded: async_lock::RwLock<HashMap<TenantId, Arc<TenantLog>>>,
    pub(crate) live: Arc<LiveRevocations>,
    pub(crate) serials: Serials,
    pub(crate) bound: BoundKeys,
    pub(crate) turns: Turns,
    pub(crate) api_keys: ApiKeys,
    pub(crate) lead: Lead,
    pub(crate) commits: Commits,
    pub(crate) heard: Heard,
    pub(crate) scopes: Scopes,
    pub(crate) recent: Recent,
    pub(crate) on_record: OnRecord,
}

impl Inner {
    pub(crate) fn now(&self) -> UnixTime {
        self.parts.clock.now()
    }

    /// Whether other processes may write to the store, too.
    pub(crate) fn is_shared(&self) -> bool {
        !self.parts.duties.is_alone()
    }

    /// The clock's time, as far as the log believes it.
    pub(crate) fn log_now(&self) -> UnixTime {
        self.lead.believed(&*self.parts.clock)
    }

    /// The tenants on record, in the order of their names.
    pub(crate) fn tenant_ids(&self) -> Vec<TenantId> {
        self.known.read(|state| state.tenants.ids())
    }

    pub(crate) async fn loaded_tenants(&self) -> Vec<Arc<TenantLog>> {
        self.loaded.read().await.values().cloned().collect()
    }

    pub(crate) fn tokens_of(&self, tenant: &TenantId) -> TokenKey {
        secret::tokens_of(&self.token_secret, tenant)
    }

    pub(crate) fn log_key(&self, log: &LogId) -> Result<VerifierKey, Error> {
        Ok(VerifierKey::new(&self.origins.of(log), self.log_signer.public_key())?)
    }

    pub(crate) async fn ledger(&self, log: LogId) -> Result<Ledger, Error> {
        let ledger =
            Ledger::open(log, &self.origins, self.log_signer.clone(), &self.seal_key, &*self.parts.sink)
                .await?;
        self.lead.saw(ledger.last_time(), &*self.parts.clock);
        self.commits.grew(ledger.log(), ledger.size());
        Ok(ledger)
    }
}
