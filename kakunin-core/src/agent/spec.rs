//! What a new agent is to be.

use super::error::AgentError;
use super::texts::{Document, Label, Note};
use crate::id::Environment;
use crate::ijson;
use crate::scope::ScopeSet;
use crate::x509::extensions::ModelHash;

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
