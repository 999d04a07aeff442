//! One act of an agent, as it is reported, and why a report is refused.

use super::amount::Amount;
use super::kind::{Attribution, EventKind, Outcome};
use super::names::{Details, Name, ShortName};
use crate::id::Serial;
#[cfg(feature = "service")]
use crate::ijson;
use crate::scope::Action;
#[cfg(feature = "service")]
use crate::shape::{self, ShapeError};
use crate::time::UnixTime;

/// Most octets of an event in JSON.
pub const MAX_EVENT_LEN: usize = 32 * 1024;

/// The place of an event in a stream its reporter numbers, by which it is recorded exactly once: streams of
/// another reporter, or for another agent, are other streams. A stream is forgotten a day after its last event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSeq {
    /// The stream, chosen by the reporter; one per process is usual.
    pub stream: u64,
    /// The number in the stream; at most 2^32 above the highest so far.
    pub seq: u64,
}

/// One act of an agent, as its host or an enforcement point reports it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// The certificate the agent acted with.
    pub serial: Serial,
    /// What it did or wanted to do.
    pub action: Action,
    /// What kind of act it was.
    #[serde(default)]
    pub kind: EventKind,
    /// How it ended.
    #[serde(default)]
    pub outcome: Outcome,
    /// Whether the certificate's scope does not cover the action. A deployment that records the event looks into the
    /// certificate; what is said here counts only where it has none.
    #[serde(default)]
    pub out_of_scope: bool,
    /// Whether an authentication failed.
    #[serde(default)]
    pub auth_failure: bool,
    /// How sure it is that the agent did this. Set by whoever took the event in, never by its sender.
    #[serde(skip)]
    pub attribution: Attribution,
    /// Whether whoever reported it named the agent alone, so that `serial` is its newest certificate's: that says
    /// nothing of whether the agent has this one yet. Set as `attribution` is.
    #[serde(skip)]
    pub unnamed: bool,
    /// Whether its reporter named no action, so that `action` only stands for what it did say, and no certificate can be
    /// asked about it. Set as `attribution` is.
    #[serde(skip)]
    pub unspecified: bool,
    /// Its place in a numbered stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamSeq>,
    /// The reporter's own identifier of the event, remembered for a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Name>,
    /// Whether `client_id` is the nonce of the signature that showed whose act it is, which is good once. Set as
    /// `attribution` is, by [`Tenant::observe_once`](crate::service::Tenant::observe_once).
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub once: bool,
    /// The session it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Name>,
    /// The tool that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<ShortName>,
    /// What it was done to: a file, a domain, a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Name>,
    /// With whom: an account, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<Name>,
    /// How much money it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// When it happened, by the reporter's clock. The log's own time decides, not this one; it only tells
    /// refusals before the end of a certificate from those after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<UnixTime>,
    /// Correlation with other records, such as a trace id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<ShortName>,
    /// On whose behalf the agent acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<ShortName>,
    /// The word of another vocabulary that it was reported with, such as `transaction_initiated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<ShortName>,
    /// Anything else, at most [`MAX_DETAILS_LEN`](super::MAX_DETAILS_LEN) octets of JSON text; committed to, never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

impl Event {
    /// An event with everything optional left out, attributed as [`Attribution::Possession`]: an
    /// embedder is its own tenant's authenticated reporter.
    #[must_use]
    pub fn new(serial: Serial, action: Action, outcome: Outcome) -> Self {
        Self {
            serial,
            action,
            kind: EventKind::default(),
            outcome,
            out_of_scope: false,
            auth_failure: false,
            attribution: Attribution::Possession,
            unnamed: false,
            unspecified: false,
            stream: None,
            client_id: None,
            once: false,
            session: None,
            tool: None,
            target: None,
            counterparty: None,
            amount: None,
            occurred_at: None,
            correlation: None,
            subject: None,
            word: None,
            details: None,
        }
    }

    /// A refusal by scope, as an enforcement point reports it.
    #[must_use]
    pub fn refused(serial: Serial, action: Action) -> Self {
        Self { out_of_scope: true, ..Self::new(serial, action, Outcome::Denied) }
    }

    /// Parses one event from JSON; it is [`Attribution::Asserted`] until its bearer showed possession. `POST events` of
    /// the server takes the same spelling.
    ///
    /// ```
    /// use kakunin_core::event::{Attribution, Event, Outcome};
    ///
    /// let json = br#"{"serial":"4A1B2C3D4E5F60718293A4B5C6D7E8F9","action":"read:mail","outcome":"denied"}"#;
    /// let event = Event::from_json(json)?;
    /// assert_eq!((event.outcome, event.attribution), (Outcome::Denied, Attribution::Asserted));
    /// assert_eq!(Event::from_json(&serde_json::to_vec(&event).unwrap())?, event);
    /// let refused = Event::from_json(br#"{"serial":"4A1B","action":"read:mail"}"#);
    /// assert_eq!(refused.unwrap_err().code(), "event_malformed");
    /// # Ok::<_, kakunin_core::event::EventError>(())
    /// ```
    ///
    /// # Errors
    /// [`EventError`] with the place and the reason; unknown members are refused, and numbers that not every reader keeps
    /// to the digit (RFC 7493), in the details too.
    #[cfg(feature = "service")]
    pub fn from_json(json: &[u8]) -> Result<Self, EventError> {
        if json.len() > MAX_EVENT_LEN {
            return Err(EventError::TooLarge(json.len()));
        }
        let malformed = |ShapeError { line, column, why, .. }| EventError::Malformed { line, column, why };
        let event: Self = shape::read(json).map_err(malformed)?;
        // Details that are no JSON at all are a text like any other.
        let details = event.details.as_ref().map(|details| ijson::check(details.as_str()));
        let details =
            details.unwrap_or(Ok(())).or_else(|error| if error.is_json() { Err(error) } else { Ok(()) });
        ijson::check(str::from_utf8(json).unwrap_or_default())?;
        details?;
        Ok(event)
    }
}

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// More than [`MAX_EVENT_LEN`] octets.
    #[error("an event of {0} bytes is too large: the limit is {MAX_EVENT_LEN}, details included")]
    TooLarge(usize),
    /// Not JSON, or a member is missing, unknown, or of another type.
    #[error("the event is malformed at line {line} column {column}: {why}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was expected.
        why: String,
    },
    /// JSON that readers do not take for the same.
    #[error("the event is malformed: {0}")]
    Json(#[from] crate::ijson::IJsonError),
}

impl EventError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge(_) => "event_too_large",
            Self::Malformed { .. } => "event_malformed",
            Self::Json(e) => e.code(),
        }
    }
}

#[cfg(test)]
#[cfg(feature = "service")]
mod tests {
    use super::*;

    #[test]
    fn json_is_strict() {
        let good =
            br#"{"serial":"4A1B2C3D4E5F60718293A4B5C6D7E8F9","action":"read:accounts","outcome":"denied"}"#;
        let event = Event::from_json(good).unwrap();
        assert_eq!((event.outcome, event.attribution), (Outcome::Denied, Attribution::Asserted));
        let long = format!(
            r#"{{"serial":"4A1B2C3D4E5F60718293A4B5C6D7E8F9","action":"read:a","tool":"{}"}}"#,
            "x".repeat(65)
        );
        let base = r#""serial":"4A1B2C3D4E5F60718293A4B5C6D7E8F9","action":"read:a""#;
        for bad in [
            "".to_owned(),
            "[]".to_owned(),
            format!("{{{base},\"outcome\":7}}"),
            format!("{{{base},\"attribution\":\"signed\"}}"),
            format!("{{{base},\"amount\":{{\"minor\":1.5,\"currency\":\"EUR\"}}}}"),
            format!("{{{base},\"amount\":{{\"minor\":-1,\"currency\":\"EUR\"}}}}"),
            format!("{{{base},\"amount\":{{\"minor\":1,\"currency\":\"eur\"}}}}"),
            format!("{{{base},\"tool\":\"\\u0000\"}}"),
            format!("{{{base},{base}}}"),
            format!("{{{base},\"action\":\"read:*\"}}"),
            long,
        ] {
            let error = Event::from_json(bad.as_bytes()).unwrap_err();
            assert_eq!(error.code(), "event_malformed", "{bad}");
        }
        let error =
            Event::from_json(format!("{{{base},\"outcome\":\"done\"}}").as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("`outcome` is `done`: write one") && error.matches("line").count() == 1,
            "{error}"
        );
        assert_eq!(Event::from_json(&vec![b' '; MAX_EVENT_LEN + 1]).unwrap_err().code(), "event_too_large");
        for inexact in [
            r#""amount":{"minor":9007199254740992,"currency":"EUR"}"#,
            r#""stream":{"stream":18446744073709551615,"seq":0}"#,
            r#""details":"{\"at\":1732900000000000000}""#,
        ] {
            let error = Event::from_json(format!("{{{base},{inexact}}}").as_bytes()).unwrap_err();
            assert_eq!(error.code(), "json_number_inexact", "{inexact}");
        }
        assert!(Event::from_json(format!("{{{base},\"details\":\"no JSON\"}}").as_bytes()).is_ok());
    }
}
