//! The words in which people and programs say why an identity is taken away: the names and numbers of RFC
//! 5280, 5.3.1, as RFC, ACME, OpenSSL and this API spell them, and the causes of this product.

use crate::revoke::Cause;

/// A word that says no cause; what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReasonError {
    /// No such word.
    #[error(
        "this is not a reason that is understood; write one of {WORDS}, or its number in RFC 5280, and a sentence of your own as a note"
    )]
    Unknown,
    /// 7, which RFC 5280 does not use.
    #[error("reason 7 is not used (RFC 5280, 5.3.1); write one of {WORDS}, or its number")]
    Unused,
    /// `removeFromCRL`, which ends a hold.
    #[error("removeFromCRL ends a hold and revokes nothing: release the certificate")]
    Release,
    /// `aACompromise`, which is about attribute certificates.
    #[error("aACompromise is about attribute certificates, which an agent's is not: write keyCompromise")]
    Attribute,
}

const WORDS: &str = "unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold, privilegeWithdrawn, operator_initiated, kill_switch_activated, regulatory_order, risk_threshold_exceeded";

impl ReasonError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "reason_invalid"
    }
}

/// The cause that `text` says. Case, `_`, `-` and blanks do not matter: `keyCompromise`, `key_compromise`,
/// `KEY COMPROMISE` and `1` are the same. [`Cause::Hold`] is a hold, which can be released.
///
/// # Errors
/// [`ReasonError`].
pub fn cause(text: &str) -> Result<Cause, ReasonError> {
    let text = text.trim();
    // Between letters these are spelling; before a digit they would be a sign.
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let kept = |c: &char| !is_word || !matches!(c, '_' | '-' | ' ');
    let word: String = text.chars().filter(kept).map(|c| c.to_ascii_lowercase()).take(40).collect();
    Ok(match word.as_str() {
        "0" | "unspecified" => Cause::Unspecified,
        "1" | "keycompromise" => Cause::KeyCompromise,
        "2" | "cacompromise" => Cause::CaCompromise,
        "3" | "affiliationchanged" => Cause::AffiliationChanged,
        "4" | "superseded" => Cause::Superseded,
        "5" | "cessationofoperation" => Cause::CessationOfOperation,
        "6" | "certificatehold" | "hold" => Cause::Hold,
        "7" => return Err(ReasonError::Unused),
        "8" | "removefromcrl" => return Err(ReasonError::Release),
        "9" | "privilegewithdrawn" => Cause::PrivilegeWithdrawn,
        "10" | "aacompromise" => return Err(ReasonError::Attribute),
        "operatorinitiated" => Cause::OperatorInitiated,
        "killswitchactivated" => Cause::KillSwitchActivated,
        "regulatoryorder" => Cause::RegulatoryOrder,
        "riskthresholdexceeded" => Cause::RiskThresholdExceeded,
        "retired" => Cause::Retired,
        _ => return Err(ReasonError::Unknown),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revoke::Reason;

    #[test]
    fn every_spelling_has_the_code_of_rfc_5280() {
        for (spellings, reason) in [
            (&["0", "unspecified", "Unspecified"][..], Reason::Unspecified),
            (
                &["1", "keyCompromise", "key_compromise", "KEY-COMPROMISE", "keycompromise"],
                Reason::KeyCompromise,
            ),
            (&["2", "cACompromise", "caCompromise", "CACompromise", "ca_compromise"], Reason::CaCompromise),
            (&["3", "affiliationChanged", "affiliation_changed"], Reason::AffiliationChanged),
            (&["4", "superseded", "Superseded", " superseded "], Reason::Superseded),
            (&["5", "cessationOfOperation", "cessation_of_operation"], Reason::CessationOfOperation),
            (&["6", "certificateHold", "certificate_hold", "hold"], Reason::CertificateHold),
            (&["9", "privilegeWithdrawn", "regulatory_order"], Reason::PrivilegeWithdrawn),
        ] {
            for text in spellings {
                assert_eq!(cause(text).map(Cause::reason), Ok(reason), "{text}");
            }
        }
        let refused = |text: &str| cause(text).unwrap_err();
        assert_eq!((refused("7"), refused("10")), (ReasonError::Unused, ReasonError::Attribute));
        assert_eq!((refused("8"), refused("removeFromCRL")), (ReasonError::Release, ReasonError::Release));
        for text in ["", "11", "01", "1.0", "-1", "abandoned", "it sold everything", "key compromise!"] {
            assert_eq!(refused(text), ReasonError::Unknown, "{text}");
        }
    }
}
