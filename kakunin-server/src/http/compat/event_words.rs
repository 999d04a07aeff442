//! The vendor's vocabulary of acts: what each word means, and what is a word at all.

use kakunin_core::event::{EventKind, Outcome};

use crate::http::text::shown;

/// What one word of the vendor's vocabulary means: kind, outcome, flags, and the action if none is given.
pub(crate) struct Meaning {
    pub(crate) kind: EventKind,
    pub(crate) outcome: Outcome,
    pub(crate) out_of_scope: bool,
    pub(crate) auth_failure: bool,
    pub(crate) action: &'static str,
}

pub(crate) const fn meaning(word: &str) -> Meaning {
    const fn plain(kind: EventKind, action: &'static str) -> Meaning {
        Meaning { kind, outcome: Outcome::Ok, out_of_scope: false, auth_failure: false, action }
    }
    const fn failed(kind: EventKind, action: &'static str) -> Meaning {
        Meaning { kind, outcome: Outcome::Denied, out_of_scope: false, auth_failure: true, action }
    }
    match word.as_bytes() {
        b"api_call" => plain(EventKind::ApiCall, "call:api"),
        b"data_access" => plain(EventKind::DataAccess, "read:data"),
        b"data_mutation" => plain(EventKind::DataMutation, "write:data"),
        b"transaction_initiated" | b"transaction" => plain(EventKind::Transaction, "write:transactions"),
        b"transaction_anomaly" => Meaning {
            outcome: Outcome::Denied,
            out_of_scope: true,
            ..plain(EventKind::Transaction, "write:transactions")
        },
        b"authentication_attempt" | b"authentication" => plain(EventKind::Authentication, "auth:session"),
        b"authentication_failure" => failed(EventKind::Authentication, "auth:session"),
        b"unauthorized_access_attempt" => Meaning {
            outcome: Outcome::Denied,
            out_of_scope: true,
            ..plain(EventKind::ApiCall, "call:unauthorized")
        },
        b"message_signed" => plain(EventKind::MessageSigned, "sign:message"),
        b"message_verification_failed" => failed(EventKind::MessageVerificationFailed, "sign:message"),
        _ => plain(EventKind::Other, "call:other"),
    }
}

/// What is said of an `action_type` that is none.
pub(crate) fn no_word(text: &str) -> String {
    let given = shown(text);
    format!(
        "`action_type` is `{given}`: write a word of 1 to 40 letters a-z, digits and _, such as `api_call`"
    )
}

#[cfg(test)]
mod tests {
    use kakunin_core::scope::Action;

    use super::*;

    #[test]
    fn every_meaning_has_an_action_of_the_grammar() {
        for word in [
            "api_call",
            "data_access",
            "authentication_failure",
            "transaction_anomaly",
            "x",
            "message_signed",
        ] {
            assert!(meaning(word).action.parse::<Action>().is_ok());
        }
        assert!(
            meaning("unauthorized_access_attempt").out_of_scope
                && meaning("authentication_failure").auth_failure
        );
    }
}
