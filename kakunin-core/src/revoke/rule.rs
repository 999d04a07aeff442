//! What may become of a certificate, in the one place that says it: the first revocation stands, a hold gives way to it,
//! and only a hold is released.

use super::reason::{Cause, Reason};
use super::record::RevocationChange;

/// Whether a certificate is accepted, expiry apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is.
    Accepted,
    /// Not until a hold is released.
    Held,
    /// Not any more.
    Revoked,
}

impl Acceptance {
    /// Whether a change makes a difference to a certificate that stands so. Each projection asks this, and no other
    /// question, before it takes a change in.
    #[must_use]
    pub const fn yields_to(self, change: &RevocationChange) -> bool {
        match change {
            RevocationChange::Revoked(_) => !matches!(self, Self::Revoked),
            RevocationChange::Released { .. } => matches!(self, Self::Held),
        }
    }
}

/// For whoever keeps the reason for which it is refused.
impl From<Option<Reason>> for Acceptance {
    fn from(refused: Option<Reason>) -> Self {
        match refused {
            None => Self::Accepted,
            Some(Reason::CertificateHold) => Self::Held,
            Some(_) => Self::Revoked,
        }
    }
}

/// For whoever keeps the cause.
impl From<Option<Cause>> for Acceptance {
    fn from(refused: Option<Cause>) -> Self {
        refused.map(Cause::reason).into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::set::tests::{revoked, serial};
    use super::*;
    use crate::id::IssuerId;

    #[test]
    fn the_first_revocation_stands_a_hold_gives_way_and_only_a_hold_is_released() {
        let issuer = IssuerId::from_bytes([1; 20]);
        let (hold, end) = (revoked(1, Cause::Hold), revoked(1, Cause::Superseded));
        let release = RevocationChange::Released { issuer, serial: serial(1) };
        let yields =
            |refused: Option<Cause>| [hold, end, release].map(|c| Acceptance::from(refused).yields_to(&c));
        assert_eq!(yields(None), [true, true, false]);
        assert_eq!(yields(Some(Cause::Hold)), [true, true, true]);
        for cause in [Cause::KeyCompromise, Cause::Superseded, Cause::Abandoned] {
            assert_eq!(yields(Some(cause)), [false; 3], "{cause:?}");
        }
    }
}
