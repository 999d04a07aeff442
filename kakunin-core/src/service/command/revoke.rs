//! Taking an identity away, for whatever cause.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::id::Serial;
use crate::revoke::{Cause, Revocation, Said};
use crate::service::error::Error;
use crate::service::state::certificates::{CertificateState, Standing};

/// Revokes a certificate; of one that is revoked, the first revocation is the answer.
#[derive(Clone)]
pub(crate) struct Revoke {
    pub(crate) serial: Serial,
    pub(crate) cause: Cause,
    pub(crate) said: Said,
    /// Whether a second person approved it.
    pub(crate) approved: bool,
}

impl Command for Revoke {
    const NEED: Need = Need::Reserved;
    type Answer = Revocation;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Revocation, Error> {
        let certificate = draft.owned(&self.serial)?;
        if let Standing::Revoked(first) = certificate.standing {
            return Ok(first);
        }
        if draft.policy.policy.second_approver.revoke && !self.approved {
            return Err(Error::SecondPerson);
        }
        let revocation = certificate.facts.revocation(self.cause, draft.now);
        draft.revoke_saying(revocation, None, self.said)?;
        Ok(revocation)
    }
}

impl Draft<'_> {
    /// A certificate of an agent of this tenant's.
    pub(crate) fn owned(&self, serial: &Serial) -> Result<&CertificateState, Error> {
        let certificate = self.certificate(serial).ok_or(Error::NO_CERTIFICATE)?;
        known(self, &certificate.facts.agent)?;
        Ok(certificate)
    }
}
