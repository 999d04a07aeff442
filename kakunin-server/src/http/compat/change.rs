//! What is to change in an agent.

use kakunin_core::agent::{AgentError, Note};
use kakunin_core::x509::extensions::ModelHash;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::agent::{FinancialScope, Metadata, ScopeText, label, of, scope_set};
use crate::http::error::ApiError;
use crate::http::schema::{LabelText, ModelHashText, NoteText};

/// What is to change; members that are left out stay, `null` takes away what is optional.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentChange {
    #[schema(value_type = Option<LabelText>)]
    name: Option<String>,
    #[serde(alias = "modelHash")]
    #[schema(value_type = Option<ModelHashText>)]
    model_hash: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LabelText>)]
    model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LabelText>)]
    version: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<NoteText>)]
    description: Option<Option<String>>,
    /// What its next certificate allows.
    #[serde(alias = "permitted_actions")]
    #[schema(max_items = 64)]
    scope: Option<Vec<ScopeText>>,
    #[serde(alias = "financialScope", default, deserialize_with = "crate::http::json::object::given")]
    #[schema(value_type = Option<FinancialScope>)]
    financial_scope: Option<Option<FinancialScope>>,
    metadata: Option<Metadata>,
    /// `suspended` holds its certificate, `active` releases it, `retired` retires the agent.
    #[schema(inline)]
    pub(crate) status: Option<NewStatus>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NewStatus {
    Active,
    Suspended,
    Retired,
}

// Tells a member that is null from one that is not there.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

impl AgentChange {
    /// What changes of its registration.
    pub(crate) fn understood(self) -> Result<kakunin_core::agent::AgentChange, ApiError> {
        // What a person calls metadata holds members of the registration too; ours win.
        let (organization, permitted, metadata) = match self.metadata {
            Some(metadata) => metadata.apart()?,
            None => (None, None, None),
        };
        let constraints = match self.financial_scope {
            Some(Some(scope)) => Some(Some(scope.document()?)),
            Some(None) => Some(None),
            None => None,
        };
        let scope = self.scope.or(permitted).map(scope_set).transpose().map_err(of("scope"))?;
        let of_label = |field, text: Option<String>| text.map(|text| label(field, text)).transpose();
        let or_none =
            |field, text: Option<Option<String>>| text.map(|text| of_label(field, text)).transpose();
        let (name, organization) = (of_label("name", self.name)?, of_label("organization", organization)?);
        let (model, version) = (or_none("model", self.model)?, or_none("version", self.version)?);
        let hash = self.model_hash.map(|hash| hash.parse().map_err(AgentError::from)).transpose();
        let hash: Option<ModelHash> = hash.map_err(of("model_hash"))?;
        let description = self.description.map(|text| text.map(Note::try_from).transpose()).transpose();
        let description = description.map_err(of("description"))?;
        Ok(kakunin_core::agent::AgentChange {
            name,
            organization: organization.map(Some),
            model_hash: hash,
            scope,
            constraints,
            model,
            version,
            description,
            metadata: metadata.map(Some),
            ..Default::default()
        })
    }
}
