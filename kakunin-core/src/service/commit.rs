//! The append: from what was decided to what is durable, and everything else brought level with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cas::Ca;
use super::error::Error;
use super::ledger::Ledger;
use super::tenant::{Sequencer, Tenant};
use super::{Inner, system};
use crate::error::StoreError;
use crate::event::ShortName;
use crate::id::IssuerId;
use crate::log::merkle::Frontier;
use crate::log::record::{Body, Control, Record};
use crate::log::sink::{Append, LogId};
use crate::revoke::{Revocation, RevocationChange, RevokedSet};
use crate::state::Change;
use crate::store::memory::Revocations;
use crate::time::UnixTime;

/// What changes at one authority.
type OfOne = (Arc<Ca>, Vec<RevocationChange>);

impl Inner {
    /// The tenant's sequencer, once what it has in memory is what the store has.
    pub(super) async fn settled<'t>(
        &self,
        tenant: &'t Tenant,
    ) -> Result<async_lock::MutexGuard<'t, Sequencer>, Error> {
        let mut sequencer = tenant.sequencer.lock().await;
        sequencer.settle(self).await?;
        Ok(sequencer)
    }

    /// Appends to a tenant's log and, with revocations, to the issuer's in the same transaction; then
    /// brings the projections level, and tells the verifiers of this process.
    ///
    /// If it is `reserved` it may use what is set aside for when there is no room.
    ///
    /// `ledger` stays unsettled: its caller settles it once what it keeps in memory is level too.
    /// `Ok(false)` means that the records are durable and the projection is not; it is when reloaded.
    pub(super) async fn append(
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
            let copies: Vec<_> = changes.iter().map(|c| copy_of(c, log.time(self.now()))).collect();
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
            for (ca, _) in &groups {
                self.load_live(ca).await?;
            }
            return Err(error);
        }
        self.live.apply_all(&revocations);
        for ((ca, _), (log, copied)) in groups.iter().zip(&mut logs) {
            if self.parts.revocations.apply(&ca.issuer.id(), &copied.revocations).await.is_ok() {
                log.settled();
            }
            ca.growth.raise(log.size());
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
                    ledger.appended(append.next.clone(), self.now());
                    self.lead.saw(ledger.last_time());
                }
                Ok(())
            }
            Err(StoreError::Full) => {
                // Certain: nothing was written, so memory is still what the store has.
                appends.iter_mut().for_each(|(ledger, _)| ledger.settled());
                Err(StoreError::Full.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn append_system(
        &self,
        system: &mut Ledger,
        control: Control,
        by: Option<ShortName>,
    ) -> Result<(), Error> {
        self.append_system_with(system, control, Vec::new(), by).await
    }

    /// As [`Inner::append_system`], with changes beside those that follow from the record.
    pub(super) async fn append_system_with(
        &self,
        system: &mut Ledger,
        control: Control,
        beside: Vec<Change>,
        by: Option<ShortName>,
    ) -> Result<(), Error> {
        // A key that is revoked opens nothing any more.
        let reserved = matches!(control, Control::ApiKeyRevoked { .. });
        let record = Record::control(system.time(self.now()), None, None, control).asked_by(by);
        let changes = [system::changes(system.size(), &record)?, beside].concat();
        if self.append(system, &[record], changes, &[], reserved).await? {
            system.settled();
        }
        Ok(())
    }

    /// Makes sure that the system log is what the store has, after a call that failed or was dropped.
    pub(super) async fn settle_system(&self, system: &mut Ledger) -> Result<(), Error> {
        if system.is_stale() {
            system.reload(&*self.parts.sink).await?;
            // Not settled before its state is level too.
            system.unsettled();
            system::load(&self.parts, system, &self.damages).await?;
            system.settled();
        }
        Ok(())
    }

    pub(super) async fn load_revocations(&self, ca: &Ca) -> Result<(), Error> {
        let mut log = ca.log.lock().await;
        log.unsettled();
        self.settle_revocations(ca, &mut log).await
    }

    /// Makes sure that the revocation log, its projection and the live set agree.
    pub(super) async fn settle_revocations(&self, ca: &Ca, log: &mut Ledger) -> Result<(), Error> {
        if log.is_stale() {
            log.reload(&*self.parts.sink).await?;
            log.unsettled();
            self.level_revocations(ca, log).await?;
            self.check_revocations(ca, log).await?;
            self.load_live(ca).await?;
            ca.growth.raise(log.size());
            log.settled();
        }
        Ok(())
    }

    /// Makes the live set what the store has.
    async fn load_live(&self, ca: &Ca) -> Result<(), Error> {
        let issuer = ca.issuer.id();
        let mut entries = Vec::new();
        let mut cursor = 0;
        loop {
            let more = self.parts.revocations.after(&issuer, cursor, 65_536).await?;
            let Some((last, _)) = more.last() else { break };
            cursor = last + 1;
            entries.extend(more.into_iter().map(|(_, r)| (r.serial, r.cause.reason())));
        }
        self.live.replace(issuer, &RevokedSet::from_entries(entries));
        Ok(())
    }

    /// Holds the projection against the revocation log, and makes it what that says.
    pub(super) async fn check_revocations(&self, ca: &Ca, log: &Ledger) -> Result<(), Error> {
        system::verify(&self.parts, log, Frontier::default()).await?;
        if self.revocations_agree(ca, log.size()).await? {
            return Ok(());
        }
        let issuer = ca.issuer.id();
        let logged = self.logged_revocations(ca, log.size()).await?.by_index;
        let stored: BTreeMap<_, _> = self.stored_revocations(ca).await?.into_iter().collect();
        let differs = |index: &&u64| logged.get(*index) != stored.get(*index);
        let wrong: BTreeSet<_> = logged.keys().chain(stored.keys()).filter(differs).collect();
        for revocation in wrong.iter().filter_map(|index| logged.get(index).or_else(|| stored.get(index))) {
            let what = format!("the revocation of certificate {} by CA {issuer}", revocation.serial);
            self.damages.note(format!("{what} was changed by somebody else; it is again what the log says"));
        }
        let standing: Vec<_> = logged.into_iter().collect();
        self.parts.revocations.replace(&issuer, log.size(), &standing).await?;
        self.load_live(ca).await
    }

    /// Whether the projection is what the revocation log says below `size`.
    pub(super) async fn revocations_agree(&self, ca: &Ca, size: u64) -> Result<bool, Error> {
        let logged = self.logged_revocations(ca, size).await?.by_index;
        let stored = self.stored_revocations(ca).await?;
        Ok(logged.len() == stored.len() && logged.iter().zip(&stored).all(|(l, s)| (*l.0, *l.1) == *s))
    }

    async fn stored_revocations(&self, ca: &Ca) -> Result<Vec<(u64, Revocation)>, Error> {
        let issuer = ca.issuer.id();
        let mut stored: Vec<(u64, Revocation)> = Vec::new();
        loop {
            let cursor = stored.last().map_or(0, |(last, _)| last.saturating_add(1));
            let more = self.parts.revocations.after(&issuer, cursor, 65_536).await?;
            if more.is_empty() {
                return Ok(stored);
            }
            stored.extend(more);
        }
    }

    async fn logged_revocations(&self, ca: &Ca, size: u64) -> Result<Revocations, Error> {
        let log = LogId::Revocations(ca.issuer.id());
        let (mut standing, mut index) = (Revocations::default(), 0);
        while index < size {
            let entries = self.parts.sink.read(&log, index, 4_096).await?;
            if entries.is_empty() {
                return Err(StoreError::Corrupt("a revocation log ends before its head".into()).into());
            }
            for entry in entries.iter().take(usize::try_from(size - index).unwrap_or(usize::MAX)) {
                if let Body::Control(control) = Record::open(entry)?.body
                    && let Control::RevocationChanged(change) = *control
                {
                    standing.apply(index, &change);
                }
                index += 1;
            }
        }
        Ok(standing)
    }

    /// Applies what the revocation log has and the projection lacks.
    async fn level_revocations(&self, ca: &Ca, log: &Ledger) -> Result<(), Error> {
        let issuer = ca.issuer.id();
        let mut index = self.parts.revocations.applied(&issuer).await?;
        while index < log.size() {
            let entries = self.parts.sink.read(log.log(), index, 4_096).await?;
            let mut changes = Vec::new();
            for entry in &entries {
                if let Body::Control(control) = Record::open(entry)?.body
                    && let Control::RevocationChanged(change) = *control
                {
                    changes.push((index, change));
                }
                index += 1;
            }
            if entries.is_empty() {
                return Err(StoreError::Corrupt("a revocation log ends before its head".into()).into());
            }
            self.parts.revocations.apply(&issuer, &changes).await?;
        }
        Ok(())
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
