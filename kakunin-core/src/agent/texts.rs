//! Texts of an agent: names, notes and documents.

use super::error::AgentError;
use crate::text;

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
