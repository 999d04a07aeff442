//! The certificate before the newest, which stands until that is used or a grace is over: an agent that never got
//! the answer to its renewal goes on with it (ADR 19). At most two of an agent's certificates stand.

use super::Inner;
use super::certificates::{CertificateState, Certificates, Standing};
use super::draft::{Draft, revocation};
use super::error::Error;
use super::tenant::Tenant;
use crate::error::StoreError;
use crate::id::{AgentId, Serial};
use crate::issue::Issued;
use crate::revoke::{Cause, Revocation};
use crate::time::UnixTime;

/// Graces that end in one append.
const AT_ONCE: usize = 256;

impl Inner {
    /// Supersedes what stood beside its successor for long enough.
    pub(super) async fn end_due_graces(&self, tenant: &Tenant) -> Result<(), Error> {
        loop {
            let due = {
                let sequencer = self.settled(tenant).await?;
                let now = sequencer.ledger.time(self.now());
                let due = sequencer.projection.graces.iter().take_while(|(until, _)| *until <= now);
                due.take(AT_ONCE).map(|(_, agent)| *agent).collect::<Vec<_>>()
            };
            if due.is_empty() {
                return Ok(());
            }
            self.decide_reserved(tenant, None, move |draft| {
                due.iter().try_for_each(|agent| Ok(draft.end_due_grace(agent)?))
            })
            .await?;
        }
    }
}

impl Draft<'_> {
    /// Until when the certificate that is replaced stands beside the new one: `None` if not at all. By the log's time,
    /// which a clock that was wrong makes twice as long at the most (ADR 20).
    pub(super) fn grace(&self, old: &Issued, new: &Issued) -> Option<UnixTime> {
        let until = self.time.plus(self.inner.policy.renewal_grace).min(old.not_after).min(new.not_after);
        (until > self.time).then_some(until)
    }

    /// Supersedes the certificate before the agent's newest, if its time has come.
    pub(super) fn end_due_grace(&mut self, agent: &AgentId) -> Result<(), StoreError> {
        let former = self.agent(agent).and_then(|entry| entry.row.former);
        if former.is_some_and(|former| former.until <= self.time) { self.end_grace(agent) } else { Ok(()) }
    }

    /// Supersedes the certificate before the agent's newest, if it stands.
    pub(super) fn end_grace(&mut self, agent: &AgentId) -> Result<(), StoreError> {
        let former = self.agent(agent).and_then(|entry| entry.row.former);
        let Some(former) = former else { return Ok(()) };
        let gone = || StoreError::Corrupt("the certificate before the newest is gone".into());
        let facts = self.certificate(&former.serial).ok_or_else(gone)?.facts;
        self.revoke(revocation(&facts, Cause::Superseded, self.now), None)
    }

    /// The certificates that stand beside this one, if it is one of the two of its agent's that may.
    pub(super) fn beside(&self, certificate: &CertificateState) -> Vec<CertificateState> {
        let serial = certificate.facts.serial;
        let Some(row) = self.agent(&certificate.facts.agent).map(|entry| &entry.row) else {
            return Vec::new();
        };
        let two: [Option<Serial>; 2] = [row.agent.certificate, row.former.map(|former| former.serial)];
        let others = two.into_iter().flatten().filter(|other| *other != serial);
        if !two.contains(&Some(serial)) {
            return Vec::new();
        }
        let stands = |c: &&CertificateState| {
            !matches!(c.standing, Standing::Revoked(_)) && self.now <= c.facts.not_after
        };
        others.filter_map(|other| self.certificates.get(&other)).filter(stands).cloned().collect()
    }

    /// What a revocation takes with it: whoever lost an agent's trust has none left. The end of a grace takes
    /// nothing else.
    pub(super) fn taken_with(&self, first: &Revocation) -> Vec<Revocation> {
        let row = self.agent(&first.agent).map(|entry| &entry.row);
        let ends = row.and_then(|row| row.former).is_some_and(|former| former.serial == first.serial);
        match (first.cause, self.certificate(&first.serial)) {
            (Cause::Abandoned, _) | (_, None) => Vec::new(),
            (Cause::Superseded, _) if ends => Vec::new(),
            (cause, Some(certificate)) => {
                let others = self.beside(certificate).into_iter();
                others.map(|other| revocation(&other.facts, cause, self.now)).collect()
            }
        }
    }
}
