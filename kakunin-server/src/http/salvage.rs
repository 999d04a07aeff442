//! Events that are not all as they should be. Agents choose the names of tools, targets and files; a refusal is
//! not lost because one of them chose a name that does not fit.
//!
//! What was reported as refused, or as a failed authentication, is recorded with as much of a bad name as fits,
//! and without a bad amount, time or details; its answer says which. Any other event with one is refused, by
//! itself. Nothing is guessed about whose an event is, or whether it came before.

use kakunin_core::event::{Name, Outcome, ShortName};

use super::compat::event::{self as event_body, EventBody, Reported, field_of};
use super::error::ApiError;
use super::parts;
use super::subjects::Subjects;

/// What an action counts as that does not follow the grammar.
pub(crate) const MALFORMED: &str = "call:malformed";

/// An event that can be recorded.
pub(crate) struct Taken {
    pub(crate) reported: Reported,
    /// What of it is not as it was sent.
    pub(crate) altered: Option<ApiError>,
}

/// Reads one event as it was sent.
pub(crate) async fn take(subjects: &mut Subjects<'_>, sent: &[u8]) -> Result<Taken, ApiError> {
    let refused = match read(subjects, sent).await {
        Ok(reported) => return Ok(Taken { reported, altered: None }),
        Err(error) if error.is_ours() => return Err(error),
        Err(error) => error,
    };
    let Some((rest, altered)) = without_what_is_bad(sent) else { return Err(refused) };
    match read(subjects, &rest).await {
        Ok(reported) if is_refusal(&reported) => Ok(Taken { reported, altered: Some(altered) }),
        Err(error) if error.is_ours() => Err(error),
        _ if refused.field().is_none() => Err(altered),
        _ => Err(refused),
    }
}

async fn read(subjects: &mut Subjects<'_>, sent: &[u8]) -> Result<Reported, ApiError> {
    event_body::parse(sent)?.into_event(subjects).await
}

fn is_refusal(reported: &Reported) -> bool {
    reported.event.outcome == Outcome::Denied || reported.event.auth_failure || reported.said_outside
}

/// The event without what is wrong with it, and what that is; `None` if nothing is, or too much.
fn without_what_is_bad(sent: &[u8]) -> Option<(Vec<u8>, ApiError)> {
    let mut altered = None;
    let mut rest = vec![b'{'];
    for (name, value) in parts::object(sent)? {
        let field = field_of(&name)?;
        let alone = [format!("{{\"{name}\":").as_bytes(), value, b"}"].concat();
        let Err(error) = event_body::parse(&alone).and_then(EventBody::check) else {
            append(&mut rest, &name, value);
            continue;
        };
        altered.get_or_insert(error.about(field));
        match instead(field, value) {
            Instead::Text(text) => append(&mut rest, &name, &serde_json::to_vec(&text).ok()?),
            Instead::Nothing => {}
            Instead::Refuse => return altered.map(|error| (Vec::new(), error)),
        }
    }
    rest.push(b'}');
    altered.map(|error| (rest, error))
}

fn append(rest: &mut Vec<u8>, name: &str, value: &[u8]) {
    if rest.len() > 1 {
        rest.push(b',');
    }
    rest.extend_from_slice(format!("\"{name}\":").as_bytes());
    rest.extend_from_slice(value);
}

/// What is recorded in place of a bad value.
enum Instead {
    Text(String),
    Nothing,
    Refuse,
}

fn instead(field: &str, value: &[u8]) -> Instead {
    let text = || serde_json::from_str::<String>(&String::from_utf8_lossy(value)).ok();
    let fitting = match field {
        "tool" | "subject" | "correlation" | "word" => {
            text().and_then(|t| ShortName::lossy(&t)).map(String::from)
        }
        "session_id" | "target" | "counterparty" => text().and_then(|t| Name::lossy(&t)).map(String::from),
        "action" => Some(MALFORMED.to_owned()),
        "amount" | "details" | "occurred_at" => None,
        _ => return Instead::Refuse,
    };
    fitting.map_or(Instead::Nothing, Instead::Text)
}
