//! The append: from what was decided to what is durable, and everything else brought level with it.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLockReadGuard};

use super::cas::Ca;
use super::inner::Inner;
use super::ledger::Ledger;
use super::recent::Appended;
use super::seal::Sealing;
use super::settled::Settled;
use super::tenant::TenantLog;
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
    pub(crate) async fn settled<'t>(&self, tenant: &'t TenantLog) -> Result<Settled<'t>, Error> {
        Settled::of(self, tenant, tenant.sequencer.lock().await).await
    }

    /// What is committed of a tenant. While somebody decides it is what was committed before; if nobody does, and how
    /// the last append ended is in doubt, that is found out first.
    pub(crate) async fn committed<'t>(
        &self,
        tenant: &'t TenantLog,
    ) -> Result<RwLockReadGuard<'t, Projection>, Error> {
        self.is_level()?;
        Settled::at_once(self, tenant).await?;
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
        let (mut append, sealing) = self.sealed(ledger, records, changes).await?;
        append.reserved = reserved;
        let changes = append.changes.clone();
        if revocations.is_empty() {
            self.write(vec![(ledger, append)]).await?;
        } else {
            self.append_with_revocations(ledger, append, revocations).await?;
        }
        ledger.rows.take(sealing);
        Ok(self.parts.state.apply(ledger.log(), ledger.size(), &changes).await.is_ok())
    }

    /// Records and rows as they are written.
    pub(super) async fn sealed(
        &self,
        ledger: &Ledger,
        records: &[Record],
        changes: Vec<Change>,
    ) -> Result<(Append, Sealing), Error> {
        let mut append = ledger.prepare(records, &[], &*self.parts.entropy).await?;
        let mut sealing = ledger.rows.seal(changes, &append.next.frontier);
        append.changes = std::mem::take(&mut sealing.changes).into();
        Ok((append, sealing))
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
        let (mut logs, mut copied) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
        let mut turns = Vec::with_capacity(groups.len());
        // In the order of their identifiers, so that two appends never wait for each other.
        for (ca, changes) in &groups {
            let mut log = ca.log.lock().await;
            turns.push(self.revocation_turn(ca, &mut log).await?);
            let copies: Vec<_> = changes.iter().map(|c| copy_of(c, log.time(self.log_now()))).collect();
            copied.push(log.prepare(&copies, changes, &*self.parts.entropy).await?);
            logs.push(log);
        }
        let applied: Vec<_> = copied.iter().map(|append| append.revocations.clone()).collect();
        // Refused from the moment it is decided: if this call is dropped while it waits, verifiers err
        // on the side of refusing. What is released waits until it is written.
        let revoked = revocations.iter().filter(|c| matches!(c, RevocationChange::Revoked(_)));
        self.live.apply_all(revoked);
        let mut appends = vec![(ledger, tenant_append)];
        appends.extend(logs.iter_mut().map(|log| &mut **log).zip(copied));
        if let Err(error) = self.write(appends).await {
            for ((ca, _), log) in groups.iter().zip(&mut logs) {
                // Why nothing was written is what the caller hears; whoever comes next loads again.
                if self.load_live(ca).await.is_err() {
                    log.unsettled();
                }
            }
            return Err(error);
        }
        self.live.apply_all(&revocations);
        for (((ca, _), log), applied) in groups.iter().zip(&mut logs).zip(applied) {
            if self.parts.revocations.apply(&ca.issuer.id(), &applied).await.is_ok() {
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

    async fn write(&self, appends: Vec<(&mut Ledger, Append)>) -> Result<(), Error> {
        let (mut ledgers, appends): (Vec<_>, Vec<_>) = appends.into_iter().unzip();
        let heads: Vec<_> = appends.iter().map(|append| append.next.clone()).collect();
        let recent: Vec<_> = appends.iter().filter_map(Appended::of_tenant).collect();
        ledgers.iter_mut().for_each(|ledger| ledger.unsettled());
        match self.parts.sink.append(appends).await {
            Ok(()) => {
                recent.into_iter().for_each(|appended| self.recent.keep(appended));
                for (ledger, head) in ledgers.iter_mut().zip(heads) {
                    ledger.appended(head, self.log_now());
                    self.lead.recorded(ledger.last_time(), &*self.parts.clock);
                }
                Ok(())
            }
            Err(error) if error.wrote_nothing() => {
                // Certain: nothing was written, so memory is still what the store has.
                ledgers.iter_mut().for_each(|ledger| ledger.settled());
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
