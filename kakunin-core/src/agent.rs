//! Agents: what is registered, and the states an agent goes through.

use crate::id::{AgentId, Environment, IdError, Serial, TenantId};
use crate::ijson::{self, IJsonError};
use crate::scope::{ScopeError, ScopeSet};
use crate::text::{self, TextError};
use crate::time::UnixTime;
use crate::x509::extensions::{ModelHash, ModelHashError};

/// Most characters of a name that goes into a subject (`ub-common-name`, RFC 5280, appendix A.1).
pub const MAX_LABEL_CHARS: usize = 64;

/// Most characters of a [`Note`].
pub const MAX_NOTE_CHARS: usize = 1_000;
/// Most octets of a [`Document`].
pub const MAX_DOCUMENT_LEN: usize = 4_096;

/// What is on record, from before names had a profile too.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Stored(String);

/// A name as it stands in a certificate's subject: 1 to 64 characters, as [`text::check_name`] allows. One that
/// is read back from a record may be older than that rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Stored", into = "String")]
pub struct Label(String);

impl Label {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that an agent may have on record, to find it again: it may be older than the profile.
    ///
    /// # Errors
    /// [`AgentError::Label`].
    pub fn recorded(text: &str) -> Result<Self, AgentError> {
        Stored(text.to_owned()).try_into()
    }

    /// This name, if it is one that may be given now.
    ///
    /// # Errors
    /// [`AgentError::LabelText`] for one that is on record from before there was a profile.
    pub fn checked(self) -> Result<Self, AgentError> {
        self.0.parse()
    }
}

impl core::str::FromStr for Label {
    type Err = AgentError;

    fn from_str(text: &str) -> Result<Self, AgentError> {
        if !(1..=MAX_LABEL_CHARS).contains(&text.chars().count()) {
            return Err(AgentError::Label);
        }
        text::check_name(text).map_err(AgentError::LabelText)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<Stored> for Label {
    type Error = AgentError;

    fn try_from(Stored(text): Stored) -> Result<Self, AgentError> {
        let fits = (1..=MAX_LABEL_CHARS).contains(&text.chars().count())
            && !text.chars().any(char::is_control)
            && text.trim() == text;
        if fits { Ok(Self(text)) } else { Err(AgentError::Label) }
    }
}

impl TryFrom<String> for Label {
    type Error = AgentError;

    fn try_from(text: String) -> Result<Self, AgentError> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

/// What somebody says in their own words: 1 to 1,000 characters, as [`text::check_prose`] allows. One that is read
/// back from a record may be older than that rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Stored", into = "String")]
pub struct Note(String);

impl Note {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Note {
    type Error = AgentError;

    fn try_from(text: String) -> Result<Self, AgentError> {
        if !(1..=MAX_NOTE_CHARS).contains(&text.chars().count()) {
            return Err(AgentError::Note);
        }
        text::check_prose(&text).map_err(AgentError::NoteText)?;
        Ok(Self(text))
    }
}

impl TryFrom<Stored> for Note {
    type Error = AgentError;

    fn try_from(Stored(text): Stored) -> Result<Self, AgentError> {
        let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        let fits = (1..=MAX_NOTE_CHARS).contains(&text.chars().count()) && text.chars().all(plain);
        if fits { Ok(Self(text)) } else { Err(AgentError::Note) }
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

/// A JSON document that is kept as it was given: at most 4,096 octets, no NUL.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Document(String);

impl Document {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 of the text: what a certificate pins of it.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl TryFrom<String> for Document {
    type Error = AgentError;

    fn try_from(text: String) -> Result<Self, AgentError> {
        let fits = (1..=MAX_DOCUMENT_LEN).contains(&text.len()) && !text.contains('\0');
        if fits { Ok(Self(text)) } else { Err(AgentError::Document) }
    }
}

impl From<Document> for String {
    fn from(document: Document) -> Self {
        document.0
    }
}

/// What a new agent is to be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAgent {
    /// Its name, the common name of its certificates.
    pub name: Label,
    /// The fleet it belongs to, the organizational unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Label>,
    /// Who runs it, the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<Label>,
    /// Where it runs.
    pub environment: Environment,
    /// The model it runs.
    pub model_hash: ModelHash,
    /// What it may do.
    pub scope: ScopeSet,
    /// Limits that no scope can say, such as amounts: canonical JSON (RFC 8785), whose SHA-256 the
    /// certificate pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Document>,
    /// Name of the model, for people; the hash is what counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Label>,
    /// Version of the agent, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Label>,
    /// What it is there for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Note>,
    /// Whatever its owner wants to find again, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Document>,
}

impl NewAgent {
    /// An agent in `production`, without a fleet or an organization.
    ///
    /// # Errors
    /// [`AgentError`] says which of the texts is malformed.
    pub fn new<T: AsRef<str>>(
        name: &str,
        model_hash: &str,
        scope: impl IntoIterator<Item = T>,
    ) -> Result<Self, AgentError> {
        Ok(Self {
            name: name.parse()?,
            fleet: None,
            organization: None,
            environment: "production".parse()?,
            model_hash: model_hash.parse()?,
            scope: ScopeSet::parse(scope)?,
            constraints: None,
            model: None,
            version: None,
            description: None,
            metadata: None,
        })
    }

    /// This specification, if it may be registered.
    ///
    /// # Errors
    /// [`AgentError::Scope`] for a wildcard verb, which a later tenant policy may allow; [`AgentError::Json`] for
    /// a document that is not I-JSON (RFC 7493).
    pub fn checked(self) -> Result<Self, AgentError> {
        self.checked_since(None)
    }

    /// The same of a change: what it leaves as it was `before` is not looked at again.
    pub(crate) fn checked_since(self, before: Option<&Self>) -> Result<Self, AgentError> {
        let scope = self.scope.without_wildcard_verbs()?;
        let constraints = (&self.constraints, before.map(|before| &before.constraints));
        let metadata = (&self.metadata, before.map(|before| &before.metadata));
        for (document, before) in [constraints, metadata] {
            if let Some(document) = document.as_ref().filter(|_| before != Some(document)) {
                ijson::check(document.as_str())?;
            }
        }
        Ok(Self { scope, ..self })
    }
}

/// Why an agent cannot be registered, or not be used so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A name that does not fit into a subject.
    #[error("a name has 1 to 64 characters, no control characters, no space at its ends")]
    Label,
    /// A name with a character that people would not see as what it is.
    #[error("a name cannot be so: {0}")]
    LabelText(TextError),
    /// A remark that is empty, too long, or not plain text.
    #[error("a note has 1 to 1000 characters, and no control characters but line breaks and tabs")]
    Note,
    /// A remark with a character that hides text, or moves it.
    #[error("a note cannot be so: {0}")]
    NoteText(TextError),
    /// A document that is empty or too long.
    #[error("a document has 1 to 4096 bytes and no NUL")]
    Document,
    /// A document that readers do not take for the same.
    #[error(transparent)]
    Json(#[from] IJsonError),
    /// At renewal: the model that is attested is not the one registered.
    #[error("the attested model is not the registered one; register the new model, then renew")]
    Attestation,
    /// A model hash in another form.
    #[error(transparent)]
    ModelHash(#[from] ModelHashError),
    /// A malformed identifier.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A malformed scope.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// A step that the agent's state does not allow.
    #[error("the agent is {state}, so it cannot {step}")]
    State {
        /// Its state.
        state: AgentState,
        /// What was asked for.
        step: &'static str,
    },
}

impl AgentError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Label | Self::LabelText(_) => "name_malformed",
            Self::Note | Self::NoteText(_) => "note_malformed",
            Self::Document => "document_malformed",
            Self::Json(e) => e.code(),
            Self::Attestation => "attestation_mismatch",
            Self::ModelHash(_) => "model_hash_malformed",
            Self::Id(e) => e.code(),
            Self::Scope(e) => e.code(),
            Self::State { .. } => "agent_state",
        }
    }
}

/// Where an agent stands. A revoked, halted or held agent is suspended; only the release of a hold, or an order that
/// names it and says why ([`Kakunin::reinstate`](crate::service::Kakunin::reinstate)), ends that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Registered or reinstated, without a certificate.
    Pending,
    /// Holds a certificate that is accepted.
    Active,
    /// Its certificate is revoked or held.
    Suspended,
    /// Gone for good.
    Retired,
}

impl core::fmt::Display for AgentState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        })
    }
}

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Agent {
    /// Its identifier.
    pub id: AgentId,
    /// Whose agent it is.
    pub tenant: TenantId,
    /// What was asked for at registration. The certificate, not this, says what it may do.
    #[serde(flatten)]
    pub spec: NewAgent,
    /// Where it stands.
    pub state: AgentState,
    /// Its newest certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Serial>,
    /// When it was registered.
    pub registered_at: UnixTime,
    /// When its registration, state or certificate last changed.
    pub updated_at: UnixTime,
}

impl Agent {
    /// The agent that `spec` asks for.
    ///
    /// # Errors
    /// As [`NewAgent::checked`]; [`AgentError::LabelText`] and [`AgentError::NoteText`] for a text that was
    /// deserialized, and may not be given now.
    pub fn register(
        id: AgentId,
        tenant: TenantId,
        spec: NewAgent,
        now: UnixTime,
    ) -> Result<Self, AgentError> {
        let spec = spec.checked()?;
        let labels = [Some(&spec.name), spec.fleet.as_ref(), spec.organization.as_ref()];
        let others = [spec.model.as_ref(), spec.version.as_ref()];
        for label in labels.into_iter().chain(others).flatten() {
            text::check_name(label.as_str()).map_err(AgentError::LabelText)?;
        }
        if let Some(description) = &spec.description {
            text::check_prose(description.as_str()).map_err(AgentError::NoteText)?;
        }
        Ok(Self {
            id,
            tenant,
            spec,
            state: AgentState::Pending,
            certificate: None,
            registered_at: now,
            updated_at: now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_i_json_when_they_come_in_and_stay_what_they_are() {
        let hash = format!("sha256:{}", "e3".repeat(32));
        let base = NewAgent::new("one", &hash, ["read:a"]).unwrap();
        let document = |text: &str| Some(Document::try_from(text.to_owned()).unwrap());
        for bad in ["{\"n\":9007199254740993}", "{\"n\":1,\"n\":1}", "{\"n\":-0}", "{"] {
            let metadata = NewAgent { metadata: document(bad), ..base.clone() };
            let constraints = NewAgent { constraints: document(bad), ..base.clone() };
            for spec in [metadata, constraints] {
                assert!(matches!(spec.clone().checked(), Err(AgentError::Json(_))), "{bad}");
                // Of before: another change goes on.
                assert_eq!(spec.clone().checked_since(Some(&spec)), Ok(spec.clone()));
                assert!(spec.checked_since(Some(&base)).is_err());
            }
        }
    }
}
