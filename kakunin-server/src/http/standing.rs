//! How a certificate stands.

use kakunin_core::revoke::Reason;

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Suspended,
    Revoked,
    Expired,
}

impl Standing {
    /// By all that was said of it and of what is above it: a revocation is for good, whatever is held beside it.
    pub(crate) fn of(reasons: impl IntoIterator<Item = Reason>, expired: bool) -> Self {
        match reasons.into_iter().max_by_key(|reason| *reason != Reason::CertificateHold) {
            Some(Reason::CertificateHold) => Self::Suspended,
            Some(_) => Self::Revoked,
            None if expired => Self::Expired,
            None => Self::Active,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_never_hides_a_revocation_nor_an_end_a_hold() {
        use Reason::{CaCompromise, CertificateHold, Superseded};
        for (reasons, expired, standing) in [
            (&[][..], false, Standing::Active),
            (&[], true, Standing::Expired),
            (&[CertificateHold], true, Standing::Suspended),
            (&[CertificateHold, CaCompromise], false, Standing::Revoked),
            (&[Superseded, CertificateHold], true, Standing::Revoked),
        ] {
            assert_eq!(Standing::of(reasons.iter().copied(), expired), standing, "{reasons:?}");
        }
    }
}
