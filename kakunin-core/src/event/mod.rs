//! What an agent did: events as hosts report them, and the facts of them that a risk model may read.

mod facts;

pub use facts::{Effect, Facts, Token, TokenKey, action_token, amount_bucket};

use crate::id::Serial;
#[cfg(feature = "service")]
use crate::ijson;
use crate::scope::Action;
#[cfg(feature = "service")]
use crate::shape::{self, ShapeError};
use crate::text;
use crate::time::UnixTime;

/// Most octets of an event in JSON.
pub const MAX_EVENT_LEN: usize = 32 * 1024;
/// Most octets of an event's details.
pub const MAX_DETAILS_LEN: usize = 16 * 1024;
/// Most octets of a target or counterparty, a session or an id of the reporter's.
pub const MAX_NAME_LEN: usize = 256;
/// Most octets of a name that stands in the leaf: tool, subject, correlation.
pub const MAX_SHORT_NAME_LEN: usize = 64;

/// What kind of act an event reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A tool or API was called.
    #[default]
    ApiCall,
    /// Data was read.
    DataAccess,
    /// Data was changed.
    DataMutation,
    /// Value was moved.
    Transaction,
    /// The agent authenticated itself somewhere, or tried to.
    Authentication,
    /// The agent signed a message.
    MessageSigned,
    /// A message said to be the agent's did not verify.
    MessageVerificationFailed,
    /// Anything else.
    Other,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    #[default]
    Ok,
    /// It was tried and failed.
    Error,
    /// It was refused: by scope, by a right, or by a guard.
    Denied,
}

/// How sure it is that the act is the agent's own. Only the first two move its score.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    /// Somebody named the agent; its serial is public, so this proves nothing.
    #[default]
    Asserted,
    /// The agent's possession of its key was shown, or its tenant's authenticated reporter says so.
    Possession,
    /// The agent's key, or a session key it vouches for, signed this very event.
    Signed,
}

/// An amount of money in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Minor units, such as cents.
    pub minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
}

/// An ISO 4217 currency code: three upper-case letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let code: Option<[u8; 3]> = text.as_bytes().try_into().ok();
        let code = code.filter(|code| code.iter().all(u8::is_ascii_uppercase));
        code.map(Self).ok_or("write three upper-case letters, such as EUR")
    }
}

impl From<Currency> for String {
    fn from(code: Currency) -> Self {
        code.0.iter().copied().map(char::from).collect()
    }
}

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
    /// Whether the certificate's scope did not cover the action.
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
    /// Its place in a numbered stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamSeq>,
    /// The reporter's own identifier of the event, remembered for a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Name>,
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
    /// Anything else, at most [`MAX_DETAILS_LEN`] octets of JSON text; committed to, never read.
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
            stream: None,
            client_id: None,
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

    /// Parses one event from JSON; it is [`Attribution::Asserted`] until its bearer showed possession.
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

macro_rules! bounded_text {
    ($(#[$doc:meta])* $name:ident, $max:expr, $error:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl $name {
            /// As much of `text` as there is room for, where somebody chose it who would rather not be seen:
            /// what is too long is cut and ends with `…`; what hides text or moves it is written out, as `\u{202e}`.
            /// `None` if it is empty.
            #[must_use]
            pub fn lossy(text: &str) -> Option<Self> {
                let mut text = text::visible_prose(text).into_owned();
                if text.len() > $max {
                    text.truncate(text.floor_char_boundary($max - '…'.len_utf8()));
                    text.push('…');
                }
                (!text.is_empty()).then_some(Self(text))
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, &'static str> {
                if (1..=$max).contains(&text.len()) && !text.contains('\0') { Ok(Self(text)) } else { Err($error) }
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl core::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, &'static str> {
                text.to_owned().try_into()
            }
        }
    };
}

bounded_text!(
    /// A name in an event: 1 to [`MAX_NAME_LEN`] octets, no NUL.
    Name,
    MAX_NAME_LEN,
    "write 1 to 256 bytes without NUL"
);
bounded_text!(
    /// A name that stands in the leaf: 1 to [`MAX_SHORT_NAME_LEN`] octets, no NUL.
    ShortName,
    MAX_SHORT_NAME_LEN,
    "write 1 to 64 bytes without NUL"
);
bounded_text!(
    /// The details of an event: 1 to [`MAX_DETAILS_LEN`] octets, no NUL.
    Details,
    MAX_DETAILS_LEN,
    "write 1 to 16384 bytes without NUL"
);

#[cfg(test)]
#[cfg(feature = "service")]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_cut_and_say_so() {
        let lossy = |text: &str| ShortName::lossy(text).map(String::from);
        assert_eq!((lossy("transfer"), lossy("")), (Some("transfer".into()), None));
        assert_eq!(lossy("a\0b\u{202e}").unwrap(), r"a\u{0}b\u{202e}");
        assert_eq!(lossy(&"x".repeat(64)).unwrap(), "x".repeat(64));
        assert_eq!(lossy(&"x".repeat(65)).unwrap(), format!("{}…", "x".repeat(61)));
        for text in
            ["é".repeat(500), "\0".repeat(500), "\u{202e}".repeat(500), format!("x{}", "𝕏".repeat(99))]
        {
            let cut = lossy(&text).unwrap();
            assert!(cut.ends_with('…') && (58..=64).contains(&cut.len()) && ShortName::try_from(cut).is_ok());
        }
        assert_eq!(Name::lossy(&"x".repeat(300)).unwrap().as_str().len(), 256);
    }

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
