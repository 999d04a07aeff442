//! Going on from an older copy of the store: a restored backup.

use super::running::{Kakunin, Running};
use super::told::{Of, RecoveryOptions, Told};
use crate::id::Serial;
use crate::log::entry::LogId;
use crate::revoke::{Cause, Reason, Said};
use crate::service::command::hold::Hold;
use crate::service::command::revoke::Revoke;
use crate::service::deployment::config::Config;
use crate::service::deployment::load::load;
use crate::service::engine::guard::Kept;
use crate::service::engine::parts::Parts;
use crate::service::error::Error;
use crate::store::guard::GuardError;

/// What a recovery did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The last part of the logs' origins from here on.
    pub epoch: u64,
    /// The logs that go on under the new origin; none if an attempt before had begun it.
    pub logs: Vec<RecoveredLog>,
    /// Certificates that the copy took for good, and that are revoked or held now.
    pub revoked: Vec<Serial>,
    /// Those of them that the copy does not know at all.
    pub unknown: Vec<Serial>,
    /// Evidence that is by no issuing CA in use here, and why: nothing was taken of it.
    pub left_out: Vec<String>,
    /// Where a guard is kept that was damaged or another deployment's, and was taken for none.
    pub bad_guard: Option<String>,
}

/// One of the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredLog {
    /// Which.
    pub log: LogId,
    /// How many records the copy has of it.
    pub size: u64,
    /// How many are known to be lost: the guard signed so many more.
    pub lost: u64,
}

impl Kakunin {
    /// Opens the deployment over a store that is known to be an older copy, and has all logs go on under the next origin:
    /// `<host>/<log>/2` after `<host>/<log>/1`. So no origin stands for two logs. In each the first record under it is
    /// `log.recovered`, with the checkpoint that the copy ended with, and the one that the guard kept. Then what the
    /// evidence says is revoked, and the copy does not, is revoked or held on the record.
    ///
    /// Until it is done the deployment cannot be opened, if it has a guard; begun again it goes on. A guard that is damaged or
    /// another deployment's is taken for none, and kept under another name.
    ///
    /// # Errors
    /// [`GuardError::Untold`] if nothing was brought of an issuing CA, [`GuardError::PartlyTold`] if that is a CRL of one
    /// shard or older than the copy, and what the evidence is refused for: nothing was changed. What store and keys say.
    pub async fn recover(
        config: Config,
        parts: Parts,
        options: &RecoveryOptions,
    ) -> Result<(Self, Recovered), Error> {
        let (head, _) = parts.sink.head(&LogId::System).await?;
        if head.frontier.size() == 0 {
            return Err(Error::NotFound("deployment"));
        }
        let (engine, feed_key) = load(config.clone(), parts.clone()).await?;
        let engine = Running::over(engine, feed_key);
        let before = engine.before().await?;
        let told = engine.told(options, &before.kept.known)?;
        let known = before.kept.known.clone();
        let bad_guard = match &engine.parts.guard {
            Some(guard) if before.bad => guard.set_aside().await?,
            _ => None,
        };
        let logs = if before.begun { Vec::new() } else { engine.recover_logs(before, told.epoch).await? };
        drop(engine);
        // As any start finds it.
        let (engine, feed_key) = load(config, parts).await?;
        let kakunin = Self::over(Running::over(engine, feed_key)).await?;
        kakunin.load().await?;
        let told = kakunin.inner.told(options, &known)?;
        let (revoked, unknown) = kakunin.inner.refuse_told(&told).await?;
        kakunin.inner.keep_guard().await?;
        let epoch = kakunin.inner.origins.epoch();
        Ok((kakunin, Recovered { epoch, logs, revoked, unknown, left_out: told.left_out, bad_guard }))
    }

    /// Opens the deployment, and has its guard made anew from what the store says: for one that was lost, over a store
    /// that is known to be the newest.
    ///
    /// # Errors
    /// [`GuardError::Unfinished`]; what store, keys and guard say.
    pub async fn renew_guard(config: Config, parts: Parts) -> Result<Self, Error> {
        let (engine, feed_key) = load(config, parts).await?;
        if engine.guarded().await.is_ok_and(|kept| kept.is_some_and(|kept| kept.recovering)) {
            return Err(GuardError::Unfinished.into());
        }
        let kakunin = Self::over(Running::over(engine, feed_key)).await?;
        kakunin.inner.keep_guard().await?;
        Ok(kakunin)
    }
}

/// What is kept of the logs when a recovery starts.
struct Before {
    kept: Kept,
    /// The latest epoch in it.
    epoch: u64,
    /// Whether an attempt before has begun the next one.
    begun: bool,
    /// Whether there is a guard that nobody can read, or another deployment's.
    bad: bool,
}

impl Running {
    async fn before(&self) -> Result<Before, Error> {
        let (mut kept, epoch, bad) = match self.kept_by_guard().await {
            Ok((kept, epoch)) => (kept, epoch, false),
            // As if there were none.
            Err(Error::Guard(GuardError::Foreign)) => (Kept::default(), 0, true),
            Err(error) => return Err(error),
        };
        let begun = kept.recovering && epoch < self.origins.epoch();
        for log in self.parts.sink.logs().await? {
            if let (_, Some(note)) = self.parts.sink.head(&log).await? {
                kept.checkpoints.entry(log.to_string()).or_insert(note);
            }
        }
        // What an attempt before revoked and published is not what the copy knew.
        if !begun {
            kept.known = self.known().await?;
        }
        Ok(Before { kept, epoch, begun, bad })
    }

    /// What the guard keeps, and the latest epoch in it. Not of logs that it lacks: those of an attempt before are in the
    /// next epoch.
    async fn kept_by_guard(&self) -> Result<(Kept, u64), Error> {
        let kept = self.guarded().await?.unwrap_or_default();
        let epochs = kept.checkpoints.values().map(|note| Ok(self.signed(note)?.epoch));
        let epoch = epochs.collect::<Result<Vec<_>, GuardError>>()?.into_iter().max().unwrap_or_default();
        Ok((kept, epoch))
    }

    /// Has the guard refuse every start until this is done, and begins the next epoch.
    ///
    /// No epoch comes twice that is known of: `told` is the latest that relying parties saw.
    async fn recover_logs(&self, before: Before, told: u64) -> Result<Vec<RecoveredLog>, Error> {
        let Before { mut kept, epoch, .. } = before;
        self.refuse_starts(&mut kept).await?;
        let next = epoch.max(told).max(self.origins.epoch()).saturating_add(1);
        let logs = self.begin_epoch(next, &kept).await?.into_iter().map(|(ledger, lost)| RecoveredLog {
            log: ledger.log().clone(),
            size: ledger.size(),
            lost,
        });
        Ok(logs.collect())
    }

    async fn refuse_starts(&self, kept: &mut Kept) -> Result<(), Error> {
        kept.recovering = true;
        if let Some(guard) = &self.parts.guard {
            guard.write(&kept.encode()?).await?;
            self.has_guard().await?;
        }
        Ok(())
    }

    /// Revokes and holds what was told and is not on record. Gives all of those, and those that no log here knows.
    async fn refuse_told(&self, told: &Told) -> Result<(Vec<Serial>, Vec<Serial>), Error> {
        let (mut revoked, mut unknown) = (Vec::new(), Vec::new());
        for Of { ca, revoked: entries, .. } in told.by.values() {
            let mut of_nobody = Vec::new();
            for (serial, reason) in entries {
                let standing = self.live.reason(&ca.issuer.id(), serial).ok().flatten();
                if standing.is_some_and(|standing| standing == *reason || standing != Reason::CertificateHold)
                {
                    continue;
                }
                match self.serials.tenant(serial) {
                    Some(_) => {
                        self.revoke_known(serial, *reason).await?;
                        revoked.push(*serial);
                    }
                    None => of_nobody.push((*serial, cause_of(*reason))),
                }
            }
            unknown.extend(self.revoke_unknown(ca, &of_nobody).await?);
        }
        revoked.extend(&unknown);
        Ok((revoked, unknown))
    }

    async fn revoke_known(&self, serial: &Serial, reason: Reason) -> Result<(), Error> {
        let tenant = self.serials.tenant(serial).ok_or(Error::NO_CERTIFICATE)?;
        let tenant = self.tenant(&tenant).await?;
        let said = Said { reason: None, note: Some(NOTE.to_owned().try_into()?) };
        if reason == Reason::CertificateHold {
            let hold = Hold { serial: *serial, said: said.clone() };
            match self.decide(&tenant, None, hold).await {
                // Of one that is retired nothing can be held.
                Err(Error::Agent(_)) => {}
                held => return held.map(drop),
            }
        }
        let revoke = Revoke { serial: *serial, cause: cause_of(reason), said, approved: true };
        self.decide(&tenant, None, revoke).await.map(drop)
    }
}

/// What the records say of it.
const NOTE: &str = "relying parties were told so before the log was recovered";

/// The cause that has this reason, where it is not known any more.
const fn cause_of(reason: Reason) -> Cause {
    match reason {
        Reason::Unspecified => Cause::Unspecified,
        Reason::KeyCompromise => Cause::KeyCompromise,
        Reason::CaCompromise => Cause::CaCompromise,
        Reason::AffiliationChanged => Cause::AffiliationChanged,
        Reason::Superseded => Cause::Superseded,
        Reason::CessationOfOperation => Cause::CessationOfOperation,
        Reason::CertificateHold => Cause::Hold,
        Reason::PrivilegeWithdrawn => Cause::PrivilegeWithdrawn,
    }
}
