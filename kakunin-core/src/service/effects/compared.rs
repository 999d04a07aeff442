//! Stored rows are held against what their log says of them, as long as that is the last that it says.

use super::running::Running;
use crate::log::entry::LogId;
use crate::service::engine::digest;
use crate::service::engine::on_record::When;
use crate::service::engine::state_snapshot::StateOf;
use crate::service::error::Error;

impl Running {
    /// Where the last record of a log is a `state.snapshot` of all before it: whether the tables are as it says. Those that
    /// are not are named and made anew, and what they are then is put on record.
    pub(super) async fn compare_state(&self, log: &LogId) -> Result<(), Error> {
        let size = self.parts.sink.head(log).await?.0.frontier.size();
        let Some(recorded) = self.state_on_record(log, size).await? else { return Ok(()) };
        let mut view = self.parts.state.view(log).await?;
        // Otherwise something was recorded meanwhile, and says nothing of these rows.
        if view.applied() != size {
            return Ok(());
        }
        let stored = digest::of_tables(&mut *view, log).await?;
        drop(view);
        let differs = |table: &&_| !stored.contains(table);
        let wrong: Vec<_> =
            recorded.tables.iter().filter(differs).map(|t| format!("`{}`", t.table)).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        self.damages.note(format!(
            "rows of log {log} are not what its record {} says that they were ({}): somebody else wrote them; they are \
             made anew from the log",
            recorded.size,
            wrong.join(", ")
        ));
        match self.loaded(log).await {
            Some(tenant) => {
                // What is being written ends before.
                let mut sequencer = self.in_turn(&tenant).await?;
                sequencer.ledger.unsettled();
                sequencer.rebuild(self).await?;
                drop(sequencer);
                self.record_state(StateOf::Tenant(&tenant), When::Anyway).await
            }
            None if *log == LogId::System => {
                let mut system = self.system.lock().await;
                system.unsettled();
                self.settle_system(&mut system).await
            }
            // It is made anew with the next start, or by `kakunin rebuild`.
            None => Ok(()),
        }
    }
}
