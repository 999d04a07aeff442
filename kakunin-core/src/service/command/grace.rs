//! The certificate before the newest, which stands until that is used or a grace is over: an agent that never got
//! the answer to its renewal goes on with it (ADR 19). At most two of an agent's certificates stand.

use super::decide::{Command, Need};
use super::draft::Draft;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::issue::Issued;
use crate::revoke::{Cause, Revocation};
use crate::service::error::Error;
use crate::service::state::certificates::{CertificateState, Certificates, Standing};
use crate::time::UnixTime;

/// Supersedes what stood beside its successor for long enough.
#[derive(Clone)]
pub(crate) struct EndGraces(pub(crate) Vec<AgentId>);

impl Command for EndGraces {
    const NEED: Need = Need::Reserved;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        self.0.iter().try_for_each(|agent| Ok(draft.end_due_grace(agent)?))
    }
}

impl Draft<'_> {
    /// Until when the certificate that is replaced stands beside the new one, by the clock: `None` if not at all.
    pub(crate) fn grace(&self, old: &Issued, new: &Issued) -> Option<UnixTime> {
        let until = self.now.plus(self.rules.settings.renewal_grace).min(old.not_after).min(new.not_after);
        (until > self.now).then_some(until)
    }

    /// Supersedes the certificate before the agent's newest, if its time has come.
    pub(crate) fn end_due_grace(&mut self, agent: &AgentId) -> Result<(), StoreError> {
        let former = self.agent(agent).and_then(|entry| entry.row.former);
        let over = former.is_some_and(|former| self.rules.settings.grace_is_over(former.until, self.now));
        if over { self.end_grace(agent) } else { Ok(()) }
    }

    /// Supersedes the certificate before the agent's newest, if it stands.
    pub(crate) fn end_grace(&mut self, agent: &AgentId) -> Result<(), StoreError> {
        let former = self.agent(agent).and_then(|entry| entry.row.former);
        let Some(former) = former else { return Ok(()) };
        let gone = || StoreError::Corrupt("the certificate before the newest is gone".into());
        let facts = self.certificate(&former.serial).ok_or_else(gone)?.facts;
        self.revoke(facts.revocation(Cause::Superseded, self.now), None)
    }

    /// The certificates that stand beside this one, if it is one of the two of its agent's that may.
    pub(crate) fn beside(&self, certificate: &CertificateState) -> Vec<CertificateState> {
        let serial = certificate.facts.serial;
        let Some(row) = self.agent(&certificate.facts.agent).map(|entry| &entry.row) else {
            return Vec::new();
        };
        let two = row.two();
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
    pub(crate) fn taken_with(&self, first: &Revocation) -> Vec<Revocation> {
        let row = self.agent(&first.agent).map(|entry| &entry.row);
        let ends = row.and_then(|row| row.former).is_some_and(|former| former.serial == first.serial);
        match (first.cause, self.certificate(&first.serial)) {
            (Cause::Abandoned, _) | (_, None) => Vec::new(),
            (Cause::Superseded, _) if ends => Vec::new(),
            (cause, Some(certificate)) => {
                let others = self.beside(certificate).into_iter();
                others.map(|other| other.facts.revocation(cause, self.now)).collect()
            }
        }
    }
}
