//! Orders that the system log decides: settled, decided on what is on record, appended, applied. And what somebody else
//! ordered, who shares the store: read, and applied in the same way.

use super::inner::Inner;
use super::ledger::Ledger;
use super::system as stored;
use crate::error::StoreError;
use crate::event::ShortName;
use crate::log::entry::LogId;
use crate::log::record::{Control, Record};
use crate::service::command::system::order::SystemOrder;
use crate::service::error::Error;
use crate::service::state::system::rows;
use crate::store::state::Change;

/// How often an order is decided anew, because somebody else was quicker: each time they got on.
const ATTEMPTS: usize = 64;

impl Inner {
    /// Decides on what is on record, makes it durable, and applies it.
    ///
    /// What it takes away is refused before it is on record. A CA that it makes is open, and what it revoked known,
    /// before anybody has a certificate of it.
    pub(crate) async fn order<O: SystemOrder>(&self, order: &O, by: Option<&ShortName>) -> Result<(), Error> {
        let mut system = self.system.lock().await;
        let _turn = self.parts.sink.turn(&LogId::System).await?;
        for _ in 0..ATTEMPTS {
            match self.attempt_order(&mut system, order, by).await {
                Err(Error::Store(StoreError::Conflict)) => {}
                done => return done,
            }
        }
        Err(StoreError::Conflict.into())
    }

    async fn attempt_order<O: SystemOrder>(
        &self,
        system: &mut Ledger,
        order: &O,
        by: Option<&ShortName>,
    ) -> Result<(), Error> {
        self.settle_system(system).await?;
        let decided = self.known.read(|state| order.decide(state))?;
        let closed = order.closes();
        if !decided.is_empty() {
            self.open_ahead(&decided).await?;
            self.known.close(closed.clone());
            // A key that is revoked opens nothing any more.
            let reserved = decided.iter().all(|c| matches!(c, Control::ApiKeyRevoked { .. }));
            let time = system.time(self.log_now());
            let record = |control| Record::control(time, None, None, control).asked_by(by.cloned());
            let records: Vec<_> = decided.into_iter().map(record).collect();
            let index = self.append_system(system, &records, Vec::new(), reserved).await?;
            for (index, record) in (index..).zip(&records) {
                self.parts.listener.recorded(&LogId::System, index, record);
            }
        }
        self.known.lift(closed.as_ref());
        Ok(())
    }

    /// Appends to the system log, with the rows that follow and those `beside` them, and applies it; gives the first
    /// index. If it is `reserved` it may use what is set aside for when there is no room.
    pub(crate) async fn append_system(
        &self,
        system: &mut Ledger,
        records: &[Record],
        beside: Vec<Change>,
        reserved: bool,
    ) -> Result<u64, Error> {
        let first = system.size();
        let follows = (first..).zip(records).map(|(index, record)| rows::changes(index, record));
        let changes = [follows.collect::<Result<Vec<_>, _>>()?.concat(), beside].concat();
        let appended = self.append(system, records, changes, &[], reserved).await;
        if let Err(Error::Store(StoreError::Conflict)) = appended {
            // Certain: nothing was written. What is known is on record, and not all of it.
            system.settled();
        }
        let level = appended?;
        for (index, record) in (first..).zip(records) {
            self.known.apply(index, record)?;
        }
        self.cas.adopt(self.now());
        self.commits.grew(system.log(), system.size());
        if level {
            system.settled();
        }
        Ok(first)
    }

    /// Reads what is on record by now, for who prepares an order by it.
    pub(crate) async fn read_on(&self) -> Result<(), Error> {
        self.settle_system(&mut *self.system.lock().await).await
    }

    /// Makes sure that what is known of the system log is what the store has: after a call that failed or was dropped,
    /// and after what somebody else appended.
    pub(crate) async fn settle_system(&self, system: &mut Ledger) -> Result<(), Error> {
        if system.is_stale() {
            self.reload_system(system).await?;
        } else {
            let (head, _) = self.parts.sink.head(&LogId::System).await?;
            if head.frontier == *system.frontier() {
                return Ok(());
            }
            self.catch_up(system).await?;
        }
        // Nobody hears of these any more: they open from here on. Where that fails whoever follows the log tries again.
        let _ = self.look_up_api_keys().await;
        Ok(())
    }

    async fn reload_system(&self, system: &mut Ledger) -> Result<(), Error> {
        system.reload(&*self.parts.sink).await?;
        // Not settled before its state is level too.
        system.unsettled();
        self.is_all_there(system)?;
        self.known.replace(stored::load(&self.parts, system, &self.damages).await?);
        self.level_with(system);
        Ok(())
    }

    /// Applies what somebody else appended, once it is known to be what the log key signed. The rows that follow from
    /// it are theirs to write; what they amount to is known here.
    async fn catch_up(&self, system: &mut Ledger) -> Result<(), Error> {
        let mut frontier = system.frontier().clone();
        system.reload(&*self.parts.sink).await?;
        system.unsettled();
        if frontier.size() > system.size() {
            return Err(stored::cut_off(system.log()).into());
        }
        stored::verify(&self.parts, system, frontier.clone()).await?;
        while frontier.size() < system.size() {
            let apply = |index, record: &Record| self.known.apply(index, record);
            let rows = stored::fold(&self.parts, system, &mut frontier, apply).await?;
            let sealing = system.rows.seal(rows, &frontier);
            system.rows.take(sealing);
        }
        self.level_with(system);
        Ok(())
    }

    fn level_with(&self, system: &mut Ledger) {
        self.cas.adopt(self.now());
        self.lead.saw(system.last_time(), &*self.parts.clock);
        system.settled();
        self.commits.grew(system.log(), system.size());
    }
}
