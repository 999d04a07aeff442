//! Reason codes, and the causes that each of them stands for.

use crate::words::words;

/// Reason codes of RFC 5280, 5.3.1; 7 is unused, and 0 is written by leaving the extension out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// 0
    Unspecified,
    /// 1: the key leaked.
    KeyCompromise,
    /// 2: the issuer's key leaked.
    CaCompromise,
    /// 3
    AffiliationChanged,
    /// 4: replaced by a newer certificate.
    Superseded,
    /// 5: the agent was retired.
    CessationOfOperation,
    /// 6: suspended, and may be released.
    CertificateHold,
    /// 9: taken away for its behaviour, by an operator's stop or by a regulator.
    PrivilegeWithdrawn,
}

impl Reason {
    /// The CRLReason code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::CaCompromise => 2,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::CertificateHold => 6,
            Self::PrivilegeWithdrawn => 9,
        }
    }

    /// The reason with this code; `None` for one that RFC 5280 does not have, or that only deltas do.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Unspecified,
            1 => Self::KeyCompromise,
            2 => Self::CaCompromise,
            3 => Self::AffiliationChanged,
            4 => Self::Superseded,
            5 => Self::CessationOfOperation,
            6 => Self::CertificateHold,
            9 => Self::PrivilegeWithdrawn,
            _ => return None,
        })
    }
}

words! {
    /// Who or what took the identity away; each maps to one [`Reason`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    #[non_exhaustive]
    pub enum Cause {
        /// The risk score crossed the threshold.
        RiskThresholdExceeded = "risk_threshold_exceeded",
        /// Somebody pulled the kill switch.
        KillSwitchActivated = "kill_switch_activated",
        /// A regulator ordered it.
        RegulatoryOrder = "regulatory_order",
        /// The operator decided it.
        OperatorInitiated = "operator_initiated",
        /// The key leaked.
        KeyCompromise = "key_compromise",
        /// A newer certificate took its place.
        Superseded = "superseded",
        /// The agent was retired.
        Retired = "retired",
        /// Issuance was cut off before the certificate was recorded; the serial is refused for ever.
        Abandoned = "abandoned",
        /// The identity is suspended, and may be released.
        Hold = "hold",
        /// Whoever ordered it gave no reason.
        Unspecified = "unspecified",
        /// The issuer's key leaked.
        CaCompromise = "ca_compromise",
        /// The agent is another organization's now.
        AffiliationChanged = "affiliation_changed",
        /// The agent is not needed any more.
        CessationOfOperation = "cessation_of_operation",
        /// It may not do any more what the certificate says.
        PrivilegeWithdrawn = "privilege_withdrawn",
    }
}

impl Cause {
    #[cfg(feature = "service")]
    /// Whether it takes trust away, and with it what is under way for the agent.
    #[cfg(feature = "service")]
    pub(crate) const fn takes_trust(self) -> bool {
        !matches!(self, Self::Abandoned | Self::Superseded)
    }

    /// The reason code that relying parties see.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::RiskThresholdExceeded
            | Self::KillSwitchActivated
            | Self::RegulatoryOrder
            | Self::PrivilegeWithdrawn => Reason::PrivilegeWithdrawn,
            Self::OperatorInitiated | Self::Retired | Self::Abandoned | Self::CessationOfOperation => {
                Reason::CessationOfOperation
            }
            Self::Unspecified => Reason::Unspecified,
            Self::CaCompromise => Reason::CaCompromise,
            Self::AffiliationChanged => Reason::AffiliationChanged,
            Self::KeyCompromise => Reason::KeyCompromise,
            Self::Superseded => Reason::Superseded,
            Self::Hold => Reason::CertificateHold,
        }
    }
}
