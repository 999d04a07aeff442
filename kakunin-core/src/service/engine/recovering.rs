//! Going on from an older copy of the store: under other origins, and with what it lacks of revocations.

use super::cas::Ca;
use super::guard::Kept;
use super::inner::Inner;
use super::ledger::Ledger;
use crate::error::StoreError;
use crate::id::{AgentId, Serial};
use crate::log::record::{Control, Record, Recovery};
use crate::revoke::{Cause, Revocation, RevocationChange};
use crate::service::error::Error;
use crate::store::audit::Append;

/// Revocations in one append.
const STEP: usize = 1_000;

impl Inner {
    /// Begins another epoch in all logs at once: in each, the first record under the new origin says with which
    /// checkpoint the old one ended. Gives each log with its size before, and how many records are known to be lost.
    pub(crate) async fn begin_epoch(&self, epoch: u64, kept: &Kept) -> Result<Vec<(Ledger, u64)>, Error> {
        let next = self.origins.in_epoch(epoch);
        let (mut appends, mut logs) = (Vec::new(), Vec::new());
        for log in self.parts.sink.logs().await? {
            let mut ledger = self.ledger(log).await?;
            let (_, from) = self.parts.sink.head(ledger.log()).await?;
            let from = from.ok_or_else(|| StoreError::Corrupt("a log has no checkpoint".into()))?;
            let newest = kept.checkpoints.get(&ledger.log().to_string()).filter(|note| **note != from);
            let known = newest.map_or(Ok(0), |note| self.signed(note).map(|known| known.checkpoint.size))?;
            // A guard lags a little.
            let (lost, behind) =
                (newest.filter(|_| known >= ledger.size()), known.saturating_sub(ledger.size()));
            ledger.rename(&next)?;
            let recovery = Recovery { epoch, from, lost: lost.cloned() };
            let time = ledger.time(self.now());
            let record = Record::control(time, None, None, Control::LogRecovered(recovery));
            appends.push(Append {
                reserved: true,
                ..ledger.prepare(&[record], &[], &*self.parts.entropy).await?
            });
            logs.push((ledger, behind));
        }
        self.parts.sink.append(appends).await?;
        Ok(logs)
    }

    /// Revokes or holds certificates that no log here knows, in the revocation log alone. Gives those that were accepted.
    pub(crate) async fn revoke_unknown(
        &self,
        ca: &Ca,
        found: &[(Serial, Cause)],
    ) -> Result<Vec<Serial>, Error> {
        let mut log = ca.log.lock().await;
        let _turn = self.revocation_turn(ca, &mut log).await?;
        let mut revoked = Vec::new();
        for found in found.chunks(STEP) {
            self.settle_revocations(ca, &mut log).await?;
            let mut changes = Vec::new();
            for (serial, cause) in found {
                let known = self.parts.revocations.find(&ca.issuer.id(), serial).await?;
                if known.is_none_or(|known| known.cause == Cause::Hold && *cause != Cause::Hold) {
                    changes.push(RevocationChange::Revoked(self.of_nobody(ca, *serial, *cause)));
                }
            }
            if changes.is_empty() {
                continue;
            }
            let time = log.time(self.now());
            let record = |change: &RevocationChange| {
                Record::control(time, None, Some(change.serial().1), Control::RevocationChanged(*change))
            };
            let records: Vec<_> = changes.iter().map(record).collect();
            let append = log.prepare(&records, &changes, &*self.parts.entropy).await?;
            log.unsettled();
            self.parts.sink.append(vec![Append { reserved: true, ..append }]).await?;
            self.settle_revocations(ca, &mut log).await?;
            revoked.extend(changes.iter().map(|change| change.serial().1));
        }
        Ok(revoked)
    }

    /// Whose it was is not known; it expires no later than its issuer does.
    fn of_nobody(&self, ca: &Ca, serial: Serial, cause: Cause) -> Revocation {
        Revocation {
            issuer: ca.issuer.id(),
            serial,
            agent: AgentId::from_bytes([0; 16]),
            at: self.now(),
            cause,
            expires: ca.issuer.not_after(),
            shard: ca.issuer.shard_of(&serial),
        }
    }
}
