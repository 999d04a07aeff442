//! What follows from the system log and takes more than memory: signers and revocation logs of CAs, hashes of API keys.

use std::sync::Arc;

use super::cas::{self, Ca};
use super::inner::Inner;
use crate::log::record::{CaRole, Control};
use crate::service::error::Error;
use crate::service::state::system::authorities::{Authority, Root};

impl Inner {
    /// Applies what somebody else recorded who shares the store, and opens what follows from it. What cannot be opened
    /// is tried again with the next call.
    pub(crate) async fn follow_system(&self) -> Result<(), Error> {
        // Whoever has it reads on before they decide, and may wait for the store.
        let Some(mut system) = self.system.try_lock() else { return Ok(()) };
        self.settle_system(&mut system).await?;
        drop(system);
        let keys = self.look_up_api_keys().await.map_err(Error::from);
        keys.and(self.open_authorities().await)
    }

    /// Opens every issuing CA on record that is not open. One that cannot be opened keeps no other from it.
    pub(crate) async fn open_authorities(&self) -> Result<(), Error> {
        let missing = self.cas.adopt(self.now());
        if missing.is_empty() {
            return Ok(());
        }
        let (roots, mut failed) = (self.cas.roots(), Ok(()));
        for ca in missing {
            failed = self.open_authority(ca, &roots).await.and(failed);
        }
        self.cas.adopt(self.now());
        failed
    }

    /// Opens the issuing CAs that these records will make.
    pub(super) async fn open_ahead(&self, records: &[Control]) -> Result<(), Error> {
        let mut roots = self.cas.roots();
        for control in records {
            match Authority::made_by(control)? {
                Some(Authority { role: CaRole::Root, issuer, key, .. }) => roots.push(Root { issuer, key }),
                Some(issuing) => self.open_authority(issuing, &roots).await?,
                None => {}
            }
        }
        Ok(())
    }

    async fn open_authority(&self, ca: Authority, roots: &[Root]) -> Result<(), Error> {
        let keys = (&self.log_signer, &self.seal_key);
        self.have_ready(Arc::new(cas::open(&self.parts, &self.origins, keys, ca, roots).await?)).await
    }

    /// Verifiers know what it revoked before anybody uses it.
    pub(crate) async fn have_ready(&self, ca: Arc<Ca>) -> Result<(), Error> {
        self.load_revocations(&ca).await?;
        self.lead.saw(ca.log.lock().await.last_time(), &*self.parts.clock);
        self.cas.ready(ca);
        Ok(())
    }
}
