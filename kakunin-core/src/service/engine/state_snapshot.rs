//! What a log amounts to is put on record from time to time: looked at in one moment, hashed while others decide.

use super::digest;
use super::histories::Taken;
use super::inner::Inner;
use super::on_record::{Last, When};
use super::tenant::TenantLog;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::record::{Body, Control, Record, StateSnapshot};
use crate::risk::ModelId;
use crate::service::command::record_state::RecordState;
use crate::service::error::Error;
use crate::store::state::StateView;

/// A log whose state is put on record.
#[derive(Clone, Copy)]
pub(crate) enum StateOf<'t> {
    System,
    Tenant(&'t TenantLog),
}

impl StateOf<'_> {
    pub(crate) fn log(self) -> LogId {
        match self {
            Self::System => LogId::System,
            Self::Tenant(tenant) => LogId::Tenant(tenant.id.clone()),
        }
    }
}

/// A log in one moment.
struct Moment {
    size: u64,
    view: Box<dyn StateView>,
    /// Of a tenant: the model that judges, and what it makes of its agents.
    histories: Option<(ModelId, Vec<Taken>)>,
}

impl Inner {
    /// Puts on record what a log amounts to, if there was a record since the last time that is not of this kind, and room.
    pub(crate) async fn record_state(&self, of: StateOf<'_>, when: When) -> Result<(), Error> {
        let log = of.log();
        let (last, size) = (self.last_state(&log).await?, self.size_of(&log).await?);
        // It only helps who looks: what room there is has better uses.
        if !last.is_due(size, when, self.now()) || self.parts.sink.room().await.full {
            return Ok(());
        }
        let Moment { size, mut view, histories } = self.moment(of, &log).await?;
        // A store that has yet to be brought level says nothing of this size.
        if view.applied() != size {
            return Ok(());
        }
        let tables = digest::of_tables(&mut *view, &log).await?;
        drop(view);
        let mut snapshot = StateSnapshot { size, tables, histories: None, revocations: Vec::new() };
        match of {
            StateOf::Tenant(tenant) => {
                if let Some((model, taken)) = histories {
                    snapshot.histories = Some(self.hash_histories(model, taken).await?);
                }
                self.decide(tenant, None, RecordState(snapshot)).await?;
            }
            StateOf::System => {
                for ca in self.cas.all() {
                    let hashed = digest::hash_revocations(&*self.parts.revocations, &ca.issuer.id()).await?;
                    snapshot.revocations.extend(hashed);
                }
                self.order(&RecordState(snapshot), None).await?;
            }
        }
        let alone = self.size_of(&log).await? == size + 1;
        let covered = if alone { size + 1 } else { size };
        self.on_record.set(log, Last { covered, behind: false, at: self.now() });
        Ok(())
    }

    /// Rows and histories as they follow from the same records. Nobody who decides waits for more than this look.
    async fn moment(&self, of: StateOf<'_>, log: &LogId) -> Result<Moment, Error> {
        match of {
            StateOf::Tenant(tenant) => {
                let sequencer = self.settled(tenant).await?;
                let view = self.parts.state.view(log).await?;
                let committed = sequencer.committed.read();
                let histories = Some(Taken::all(&committed));
                Ok(Moment { size: sequencer.ledger.size(), view, histories })
            }
            StateOf::System => {
                let mut system = self.system.lock().await;
                self.settle_system(&mut system).await?;
                let view = self.parts.state.view(log).await?;
                Ok(Moment { size: system.size(), view, histories: None })
            }
        }
    }

    async fn size_of(&self, log: &LogId) -> Result<u64, StoreError> {
        Ok(self.parts.sink.head(log).await?.0.frontier.size())
    }

    async fn last_state(&self, log: &LogId) -> Result<Last, Error> {
        if let Some(last) = self.on_record.get(log) {
            return Ok(last);
        }
        let size = self.size_of(log).await?;
        let behind = size > 0 && self.state_on_record(log, size).await?.is_none();
        let last = Last { covered: size, behind, at: self.now() };
        self.on_record.set(log.clone(), last);
        Ok(last)
    }

    /// What the last record of a log of this size says that all before it amount to, if it is of that kind.
    pub(crate) async fn state_on_record(
        &self,
        log: &LogId,
        size: u64,
    ) -> Result<Option<StateSnapshot>, Error> {
        let Some(index) = size.checked_sub(1) else { return Ok(None) };
        let last = self.parts.sink.read(log, index, 1).await?;
        let record = last.first().map(Record::open).transpose()?;
        let Some(Body::Control(control)) = record.map(|record| record.body) else { return Ok(None) };
        Ok(match *control {
            Control::StateSnapshot(snapshot) if snapshot.size == index => Some(snapshot),
            _ => None,
        })
    }
}
