//! The append: from what was decided to what is durable, and everything else brought level with it.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLockReadGuard};

use super::cas::Ca;
use super::inner::Inner;
use super::ledger::Ledger;
use super::tenant::{Sequencer, TenantLog};
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::record::{Control, Record};
use crate::revoke::RevocationChange;
use crate::service::error::Error;
use crate::service::state::projection::Projection;
use crate::store::audit::Append;
use crate::store::state::Change;
use crate::time::UnixTime;

/// What changes at one authority.
type OfOne = (Arc<Ca>, Vec<RevocationChange>);

impl Inner {
    /// The tenant's sequencer, once what it has in memory is what the store has.
    pub(crate) async fn settled<'t>(
        &self,
        tenant: &'t TenantLog,
    ) -> Result<async_lock::MutexGuard<'t, Sequencer>, Error> {
        let mut sequencer = tenant.sequencer.lock().await;
        sequencer.settle(self).await?;
        Ok(sequencer)
    }

    /// What is committed of a tenant. While somebody decides it is what was committed before; if nobody does, and how
    /// the last append ended is in doubt, that is found out first.
    pub(crate) async fn committed<'t>(
        &self,
        tenant: &'t TenantLog,
    ) -> Result<RwLockReadGuard<'t, Projection>, Error> {
        if let Some(mut sequencer) = tenant.sequencer.try_lock() {
            sequencer.settle(self).await?;
        }
        Ok(tenant.committed.read())
    }

    /// Appends to a tenant's log and, with revocations, to the issuer's in the same transaction; then
    /// brings the projections level, and tells the verifiers of this process.
    ///
    /// If it is `reserved` it may use what is set aside for when there is no room.
    ///
    /// `ledger` stays unsettled: its caller settles it once what it keeps in memory is level too.
    /// `Ok(false)` means that the records are durable and the projection is not; it is when reloaded.
    pub(crate) async fn append(
        &self,
        ledger: &mut Ledger,
        records: &[Record],
        changes: Vec<Change>,
        revocations: &[RevocationChange],
        reserved: bool,
    ) -> Result<bool, Error> {
        let entropy = &*self.parts.entropy;
        let mut tenant_append = ledger.prepare(records, &[], entropy).await?;
        tenant_append.reserved = reserved;
        let mut sealing = ledger.rows.seal(changes, &tenant_append.next.frontier);
        let changes = std::mem::take(&mut sealing.changes);
        tenant_append.changes.clone_from(&changes);
        if revocations.is_empty() {
            self.write(&mut [(ledger, tenant_append)]).await?;
        } else {
            self.append_with_revocations(ledger, tenant_append, revocations).await?;
        }
        ledger.rows.take(sealing);
        Ok(self.parts.state.apply(ledger.log(), ledger.size(), &changes).await.is_ok())
    }

    async fn append_with_revocations(
        &self,
        ledger: &mut Ledger,
        tenant_append: Append,
        revocations: &[RevocationChange],
    ) -> Result<(), Error> {
        // The log of one that was replaced and has ended goes no further: nobody accepts anything of it.
        let still = |change: &&RevocationChange| !self.cas.has_ended(&change.serial().0);
        let revocations: Vec<_> = revocations.iter().filter(still).copied().collect();
        let groups = self.by_authority(&revocations)?;
        let mut logs = Vec::with_capacity(groups.len());
        // In the order of their identifiers, so that two appends never wait for each other.
        for (ca, changes) in &groups {
            let mut log = ca.log.lock().await;
            self.settle_revocations(ca, &mut log).await?;
            let copies: Vec<_> = changes.iter().map(|c| copy_of(c, log.time(self.log_now()))).collect();
            let copied = log.prepare(&copies, changes, &*self.parts.entropy).await?;
            logs.push((log, copied));
        }
        // Refused from the moment it is decided: if this call is dropped while it waits, verifiers err
        // on the side of refusing. What is released waits until it is written.
        let revoked = revocations.iter().filter(|c| matches!(c, RevocationChange::Revoked(_)));
        self.live.apply_all(revoked);
        let mut appends = vec![(ledger, tenant_append)];
        appends.extend(logs.iter_mut().map(|(log, copied)| (&mut **log, copied.clone())));
        if let Err(error) = self.write(&mut appends).await {
            for ((ca, _), (log, _)) in groups.iter().zip(&mut logs) {
                // Why nothing was written is what the caller hears; whoever comes next loads again.
                if self.load_live(ca).await.is_err() {
                    log.unsettled();
                }
            }
            return Err(error);
        }
        self.live.apply_all(&revocations);
        for ((ca, _), (log, copied)) in groups.iter().zip(&mut logs) {
            if self.parts.revocations.apply(&ca.issuer.id(), &copied.revocations).await.is_ok() {
                log.settled();
            }
            ca.growth.raise(log.size());
            self.commits.grew(log.log(), log.size());
        }
        Ok(())
    }

    /// The changes of each authority, in the order of the authorities' identifiers.
    fn by_authority(&self, revocations: &[RevocationChange]) -> Result<Vec<OfOne>, Error> {
        let mut groups: BTreeMap<IssuerId, Vec<RevocationChange>> = BTreeMap::new();
        for change in revocations {
            groups.entry(change.serial().0).or_default().push(*change);
        }
        let unknown = || StoreError::Corrupt("a certificate of an unknown authority".into());
        let with_ca = |(id, changes)| Ok((self.cas.get(&id).ok_or_else(unknown)?, changes));
        groups.into_iter().map(with_ca).collect()
    }

    async fn write(&self, appends: &mut [(&mut Ledger, Append)]) -> Result<(), Error> {
        let written = appends.iter().map(|(_, append)| append.clone()).collect();
        appends.iter_mut().for_each(|(ledger, _)| ledger.unsettled());
        match self.parts.sink.append(written).await {
            Ok(()) => {
                for (ledger, append) in appends {
                    ledger.appended(append.next.clone(), self.log_now());
                    self.lead.recorded(ledger.last_time(), &*self.parts.clock);
                }
                Ok(())
            }
            Err(error @ (StoreError::Full | StoreError::KeyTaken { .. })) => {
                // Certain: nothing was written, so memory is still what the store has.
                appends.iter_mut().for_each(|(ledger, _)| ledger.settled());
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn copy_of(change: &RevocationChange, time: UnixTime) -> Record {
    let agent = match change {
        RevocationChange::Revoked(revocation) => Some(revocation.agent),
        RevocationChange::Released { .. } => None,
    };
    let (_, serial) = change.serial();
    Record::control(time, agent, Some(serial), Control::RevocationChanged(*change))
}
