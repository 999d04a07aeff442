//! Events as they are reported: by certificate or by agent, as an action or in a vendor's vocabulary.

use kakunin_core::event::{Amount, Details, Event, EventKind, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, Serial};
use serde::Deserialize;
use utoipa::ToSchema;

use super::dollars::dollars;
use super::event_words::{meaning, no_word};
use crate::http::error::ApiError;
use crate::http::event_members::{Moment, action, name, no_such, short, text, unfit};
use crate::http::json::{self, Free};
use crate::http::schema::{ActionText, EventNameText, KindWord, OutcomeWord, ShortNameText};
use crate::http::subjects::Subjects;
use crate::http::text::{is_word, shown};

/// One act of an agent. Name the agent by `agent_id` or `certificate_serial`, and the act by `action` or
/// `action_type`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventBody {
    /// The agent; its newest certificate is meant.
    #[serde(alias = "agentId")]
    #[schema(format = "uuid")]
    agent_id: Option<String>,
    /// The certificate the agent acted with.
    #[serde(alias = "serial")]
    #[schema(pattern = "^[0-7][0-9A-F]{31}$")]
    certificate_serial: Option<String>,
    /// What it did, `verb:resource`.
    #[schema(value_type = Option<ActionText>)]
    action: Option<String>,
    /// What kind of act: `api_call`, `data_access`, `data_mutation`, `transaction_initiated`,
    /// `transaction_anomaly`, `authentication_attempt`, `authentication_failure`,
    /// `unauthorized_access_attempt`, `message_signed`, `message_verification_failed`; others count as
    /// `other`.
    #[serde(alias = "actionType")]
    #[schema(pattern = "^[a-z][a-z0-9_]{0,39}$")]
    action_type: Option<String>,
    /// What kind of act, in our own words; `action_type` says it otherwise.
    #[schema(inline, value_type = Option<KindWord>)]
    kind: Option<EventKind>,
    /// The word of another vocabulary that it is reported with, if `action_type` does not say it.
    #[schema(value_type = Option<ShortNameText>)]
    word: Option<String>,
    #[schema(inline, value_type = Option<OutcomeWord>)]
    outcome: Option<Outcome>,
    /// Taken, and not believed: what the certificate says of `action` decides; without one, what `action_type` means.
    out_of_scope: Option<bool>,
    auth_failure: Option<bool>,
    #[serde(default, deserialize_with = "crate::http::json::object::optional")]
    #[schema(inline)]
    stream: Option<StreamBody>,
    /// The reporter's own identifier: reported twice within a day, it is recorded once.
    #[serde(alias = "eventId", alias = "event_id")]
    #[schema(value_type = Option<EventNameText>)]
    client_id: Option<String>,
    #[serde(alias = "sessionId", alias = "session")]
    #[schema(value_type = Option<EventNameText>)]
    session_id: Option<String>,
    /// Correlation with other records, such as a trace id; a `chainId` is one.
    #[serde(alias = "chainId", alias = "chain_id")]
    #[schema(value_type = Option<ShortNameText>)]
    correlation: Option<String>,
    #[schema(value_type = Option<ShortNameText>)]
    tool: Option<String>,
    #[schema(value_type = Option<ShortNameText>)]
    subject: Option<String>,
    #[schema(value_type = Option<EventNameText>)]
    target: Option<String>,
    #[schema(value_type = Option<EventNameText>)]
    counterparty: Option<String>,
    #[serde(default, deserialize_with = "crate::http::json::object::optional")]
    #[schema(inline)]
    amount: Option<AmountBody>,
    /// When it happened, by the reporter's clock; a number is milliseconds since 1970, not before 2000.
    #[serde(alias = "occurredAt")]
    #[schema(schema_with = crate::http::event_members::moment_schema)]
    occurred_at: Option<Moment>,
    /// Anything else, at most 16 kB of I-JSON (RFC 7493): times in nanoseconds are strings. `amount_usd` counts as an
    /// amount. A text is kept as it is.
    #[serde(alias = "payload")]
    #[schema(value_type = Option<Object>)]
    details: Option<Free>,
}

/// Its place in a stream that the reporter numbers: recorded exactly once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct StreamBody {
    #[serde(deserialize_with = "crate::http::json::whole::required")]
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    stream: u64,
    #[serde(deserialize_with = "crate::http::json::whole::required")]
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    seq: u64,
}

/// Money in minor units, such as cents.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AmountBody {
    #[serde(deserialize_with = "crate::http::json::whole::required")]
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    minor: u64,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
}

/// An event, and what its reporter says of it.
pub(crate) struct Reported {
    pub(crate) agent: AgentId,
    pub(crate) event: Event,
    /// Whether its reporter says that it was outside of what the agent may do.
    pub(crate) said_outside: bool,
}

/// The name of a member in our own spelling.
pub(crate) fn field_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "agent_id" | "agentId" => "agent_id",
        "certificate_serial" | "serial" => "certificate_serial",
        "action" => "action",
        "action_type" | "actionType" => "action_type",
        "kind" => "kind",
        "word" => "word",
        "outcome" => "outcome",
        "out_of_scope" => "out_of_scope",
        "auth_failure" => "auth_failure",
        "stream" => "stream",
        "client_id" | "eventId" | "event_id" => "client_id",
        "session_id" | "sessionId" | "session" => "session_id",
        "correlation" | "chainId" | "chain_id" => "correlation",
        "tool" => "tool",
        "subject" => "subject",
        "target" => "target",
        "counterparty" => "counterparty",
        "amount" => "amount",
        "occurred_at" | "occurredAt" => "occurred_at",
        "details" | "payload" => "details",
        _ => return None,
    })
}

/// Reads one event; what is wrong is told of its member in our own spelling.
pub(crate) fn parse(sent: &[u8]) -> Result<EventBody, ApiError> {
    json::parse(sent).map_err(|error| error.spelt(field_of))
}

impl EventBody {
    /// The event, and whose it is. Foreign agents and certificates do not exist.
    pub(crate) async fn into_event(self, subjects: &mut Subjects<'_>) -> Result<Reported, ApiError> {
        let (agent, serial) = self.who(subjects).await?;
        let word = self.action_type.as_deref();
        if word.is_none() && self.action.is_none() {
            let sentence = "`action` is missing: send `action`, such as `read:mail`, or `action_type`";
            let missing = ApiError::unprocessable("action_missing", sentence);
            return Err(missing.about("action"));
        }
        if let Some(word) = word.filter(|word| !is_word(word)) {
            let sentence = no_word(word);
            return Err(ApiError::unprocessable("action_type_invalid", sentence).about("action_type"));
        }
        let meaning = meaning(word.unwrap_or("api_call"));
        let action = action(self.action.as_deref().unwrap_or(meaning.action))?;
        let outcome = self.outcome.unwrap_or(meaning.outcome);
        let said_outside = self.out_of_scope.unwrap_or(meaning.out_of_scope);
        // Its tenant's own authenticated reporter says so: possession.
        let mut event = Event::new(serial, action, outcome);
        event.kind = self.kind.unwrap_or(meaning.kind);
        event.unnamed = self.certificate_serial.is_none();
        event.unspecified = self.action.is_none();
        event.out_of_scope = meaning.out_of_scope;
        event.auth_failure = self.auth_failure.unwrap_or(meaning.auth_failure);
        self.fill(&mut event)?;
        Ok(Reported { agent, event, said_outside })
    }

    /// Whether what stands in it can be recorded, whosever it is.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        let named = action(self.action.as_deref().unwrap_or("call:api"))?;
        let nobody = Serial::from_bytes([1; 16]).ok_or_else(|| ApiError::not_found("certificate"))?;
        self.fill(&mut Event::new(nobody, named, Outcome::Ok))
    }

    async fn who(&self, subjects: &mut Subjects<'_>) -> Result<(AgentId, Serial), ApiError> {
        let no_agent = |text: &str| no_such("agent", "agent_id", text, "the `id` that `GET /agents` gives");
        let id_of = |text: &str| text.parse().map_err(|_| no_agent(text));
        let named: Option<AgentId> = self.agent_id.as_deref().map(id_of).transpose()?;
        let Some(text) = &self.certificate_serial else {
            let missing = || {
                let sentence = "`agent_id` is missing: send `agent_id` or `certificate_serial`";
                ApiError::unprocessable("agent_missing", sentence).about("agent_id")
            };
            let id = named.ok_or_else(missing)?;
            let unknown = |error: ApiError| match error.code() {
                "not_found" => no_agent(&id.to_string()),
                _ => error.about("agent_id"),
            };
            return Ok((id, subjects.newest(&id).await.map_err(unknown)?));
        };
        const FIELD: &str = "certificate_serial";
        let no_certificate =
            || no_such("certificate", FIELD, text, "the serial number of one that was issued here");
        let serial: Serial = text.parse().map_err(|_| no_certificate())?;
        let unknown = |error: ApiError| match error.code() {
            "not_found" => no_certificate(),
            _ => error.about(FIELD),
        };
        let agent = subjects.holder(&serial).await.map_err(unknown)?;
        if named.is_some_and(|id| id != agent) {
            let sentence =
                "`certificate_serial` is of a certificate of another agent than `agent_id`: send one of them";
            return Err(ApiError::unprocessable("agent_mismatch", sentence).about(FIELD));
        }
        Ok((agent, serial))
    }

    fn fill(self, event: &mut Event) -> Result<(), ApiError> {
        event.stream = self.stream.map(|s| StreamSeq { stream: s.stream, seq: s.seq });
        event.client_id = name("client_id", self.client_id)?;
        event.session = name("session_id", self.session_id)?;
        event.target = name("target", self.target)?;
        event.counterparty = name("counterparty", self.counterparty)?;
        event.correlation = short("correlation", self.correlation)?;
        event.tool = short("tool", self.tool)?;
        event.subject = short("subject", self.subject)?;
        event.word = match self.word {
            Some(word) => short("word", Some(word))?,
            None => short("action_type", self.action_type)?,
        };
        event.occurred_at = self.occurred_at.map(Moment::time).transpose()?;
        event.amount = match self.amount {
            Some(amount) => {
                let given = shown(&amount.currency);
                let invalid = |why: &str| {
                    let sentence = format!("`amount.currency` is `{given}`: {why}");
                    ApiError::unprocessable("amount_invalid", sentence).about("amount")
                };
                Some(Amount { minor: amount.minor, currency: amount.currency.try_into().map_err(invalid)? })
            }
            None => self.details.as_ref().and_then(|Free(details)| dollars(details)),
        };
        event.details = match self.details {
            Some(free) => {
                let text = text(free).map_err(|error| error.about("details"))?;
                let invalid = unfit("details_invalid", "details", text.len());
                Some(Details::try_from(text).map_err(invalid)?)
            }
            None => None,
        };
        Ok(())
    }
}
