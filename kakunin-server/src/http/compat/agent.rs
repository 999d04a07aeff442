//! Agents and certificates as the API shows them, in the spellings that clients of this kind use.

use std::collections::BTreeMap;

use kakunin_core::agent::{Agent, AgentError, Document, Label, NewAgent};
use kakunin_core::scope::ScopeSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::certificate::{CertificateBody, scope_texts};
use super::client::Dialect;
use crate::http::error::ApiError;
use crate::http::json::Free;
use crate::http::schema::{LabelText, ModelHashText, NoteText};

/// One scope, such as `read:accounts` or `read:accounts/*`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = r"^(?=.{3,128}$)[a-z][a-z0-9_-]{0,31}:(\*|[a-z0-9][a-z0-9._-]{0,63}(/[a-z0-9][a-z0-9._-]{0,63})*(/\*)?)$")]
pub(crate) struct ScopeText(pub(crate) String);

/// Limits on money, which the certificate pins by their hash. Whole numbers only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinancialScope {
    #[serde(
        default,
        deserialize_with = "crate::http::json::whole::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    max_single_trade_usd: Option<u64>,
    #[serde(
        default,
        deserialize_with = "crate::http::json::whole::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(maximum = 9_007_199_254_740_991_i64)]
    daily_limit_usd: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    permitted_instruments: Option<Vec<Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 32)]
    permitted_venues: Option<Vec<Item>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leverage_permitted: Option<bool>,
    #[serde(
        default,
        deserialize_with = "crate::http::json::whole::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(maximum = 1000)]
    max_leverage_ratio: Option<u64>,
}

/// Name of an instrument or venue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, pattern = r"^[A-Za-z0-9._:/-]{1,32}$")]
pub(crate) struct Item(String);

impl FinancialScope {
    /// Its one spelling (RFC 8785), whose hash goes into the certificate.
    pub(crate) fn document(&self) -> Result<Document, ApiError> {
        let item = |Item(text): &Item| {
            (1..=32).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:/-".contains(&b))
        };
        let fits =
            |list: &Option<Vec<Item>>| list.as_ref().is_none_or(|l| l.len() <= 32 && l.iter().all(item));
        let good = fits(&self.permitted_instruments)
            && fits(&self.permitted_venues)
            && self.max_leverage_ratio.is_none_or(|n| n <= 1_000);
        if !good {
            let sentence = "a name in `financial_scope` has other characters than A-Z a-z 0-9 . _ : / -, or a number is too large";
            return Err(ApiError::unprocessable("financial_scope_invalid", sentence).about("financial_scope"));
        }
        let text = serde_json_canonicalizer::to_string(self).map_err(|_| {
            ApiError::unprocessable("financial_scope_invalid", "`financial_scope` does not encode")
        })?;
        Document::try_from(text).map_err(of("financial_scope"))
    }
}

/// Whatever its owner wants to find again; `permitted_actions` and `operator_org` are read out of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(crate) struct Metadata(Free);

/// An object whose values are as they were given.
type Members = BTreeMap<String, Box<RawValue>>;

type Apart = (Option<String>, Option<Vec<ScopeText>>, Option<Document>);

impl Metadata {
    /// Organization, scope, and the rest.
    pub(crate) fn apart(self) -> Result<Apart, ApiError> {
        let Value::Object(mut members) = self.0.0 else {
            return Err(ApiError::unprocessable(
                "metadata_invalid",
                "`metadata` is no object: write one, such as `{\"team\": \"billing\"}`",
            ));
        };
        let organization = members.remove("operator_org").map(serde_json::from_value).transpose();
        let scope = members.remove("permitted_actions").map(serde_json::from_value).transpose();
        let (Ok(organization), Ok(scope)) = (organization, scope) else {
            let sentence = "`operator_org` is a text, `permitted_actions` a list of texts";
            return Err(ApiError::unprocessable("metadata_invalid", sentence).about("metadata"));
        };
        let rest = if members.is_empty() {
            None
        } else {
            Some(Document::try_from(Free(Value::Object(members)).canonical()?).map_err(of("metadata"))?)
        };
        Ok((organization, scope, rest))
    }
}

/// An agent to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAgentBody {
    #[schema(value_type = LabelText)]
    name: String,
    /// SHA-256 of the model it runs.
    #[serde(alias = "modelHash")]
    #[schema(value_type = ModelHashText)]
    model_hash: String,
    /// Name of the model, for people.
    #[schema(value_type = Option<LabelText>)]
    model: Option<String>,
    #[schema(value_type = Option<LabelText>)]
    version: Option<String>,
    #[schema(value_type = Option<NoteText>)]
    description: Option<String>,
    /// Where it runs; `production` if not given.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    environment: Option<String>,
    /// The organizational unit of its certificates.
    #[schema(value_type = Option<LabelText>)]
    fleet: Option<String>,
    /// Who runs it: the organization of its certificates.
    #[serde(alias = "operator_org")]
    #[schema(value_type = Option<LabelText>)]
    organization: Option<String>,
    /// What it may do; an empty list allows nothing.
    #[serde(alias = "permitted_actions")]
    #[schema(max_items = 64)]
    scope: Option<Vec<ScopeText>>,
    #[serde(alias = "financialScope", default, deserialize_with = "crate::http::json::object::optional")]
    financial_scope: Option<FinancialScope>,
    metadata: Option<Metadata>,
}

pub(crate) fn scope_set(scope: Vec<ScopeText>) -> Result<ScopeSet, AgentError> {
    Ok(ScopeSet::parse(scope.into_iter().map(|ScopeText(text)| text))?)
}

/// The refusal of a member.
pub(crate) fn of(field: &'static str) -> impl Fn(AgentError) -> ApiError {
    move |error| ApiError::from(error).about(field)
}

/// The label that a member holds.
pub(crate) fn label(field: &'static str, text: String) -> Result<Label, ApiError> {
    text.parse().map_err(of(field))
}

impl NewAgentBody {
    pub(crate) fn into_spec(self) -> Result<NewAgent, ApiError> {
        let (organization, permitted, metadata) = match self.metadata {
            Some(metadata) => metadata.apart()?,
            None => (None, None, None),
        };
        let scope = self.scope.or(permitted).unwrap_or_default();
        let named = |error: AgentError| {
            let field = if matches!(error, AgentError::ModelHash(_)) { "model_hash" } else { "name" };
            of(field)(error)
        };
        let base = NewAgent::new(&self.name, &self.model_hash, [""; 0]).map_err(named)?;
        let label = |field, text: Option<String>| text.map(|text| label(field, text)).transpose();
        Ok(NewAgent {
            fleet: label("fleet", self.fleet)?,
            organization: label("organization", self.organization.or(organization))?,
            environment: match self.environment {
                Some(environment) => {
                    environment.parse().map_err(|error| of("environment")(AgentError::from(error)))?
                }
                None => base.environment,
            },
            scope: scope_set(scope).map_err(of("scope"))?,
            constraints: self.financial_scope.map(|scope| scope.document()).transpose()?,
            model: label("model", self.model)?,
            version: label("version", self.version)?,
            description: self.description.map(TryInto::try_into).transpose().map_err(of("description"))?,
            metadata,
            ..base
        })
    }
}

/// An agent.
#[derive(Serialize, ToSchema)]
pub(crate) struct AgentBody {
    #[schema(format = "uuid")]
    id: String,
    tenant_id: String,
    name: String,
    /// Empty if it was not given.
    model: String,
    model_hash: String,
    /// Empty if it was not given.
    version: String,
    description: Option<String>,
    environment: String,
    fleet: Option<String>,
    operator_org: Option<String>,
    /// `pending`, `active`, `suspended` or `retired`.
    status: String,
    /// Mail is not received for agents here: always null.
    inbox_address: Option<String>,
    /// What its next certificate allows.
    scope: Vec<String>,
    #[schema(value_type = Option<Object>)]
    financial_scope: Option<Box<RawValue>>,
    #[schema(value_type = Object)]
    metadata: Members,
    /// Serial number of its newest certificate.
    certificate_serial: Option<String>,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<Vec<CertificateBody>>,
}

impl AgentBody {
    pub(crate) fn new(agent: &Agent, certificates: Option<Vec<CertificateBody>>, dialect: Dialect) -> Self {
        let spec = &agent.spec;
        let text = |label: &Option<kakunin_core::agent::Label>| label.as_ref().map(|l| l.as_str().to_owned());
        let scope: Vec<String> = scope_texts(&spec.scope);
        let operator_org = text(&spec.organization);
        Self {
            id: agent.id.to_string(),
            tenant_id: agent.tenant.to_string(),
            name: spec.name.as_str().to_owned(),
            model: text(&spec.model).unwrap_or_default(),
            model_hash: spec.model_hash.to_string(),
            version: text(&spec.version).unwrap_or_default(),
            description: spec.description.as_ref().map(|d| d.as_str().to_owned()),
            environment: spec.environment.to_string(),
            fleet: text(&spec.fleet),
            status: dialect.state(agent.state),
            inbox_address: None,
            financial_scope: document(spec.constraints.as_ref()),
            metadata: metadata(spec.metadata.as_ref(), &scope, operator_org.as_deref()),
            scope,
            operator_org,
            certificate_serial: agent.certificate.map(|serial| serial.to_string()),
            created_at: agent.registered_at.to_string(),
            updated_at: agent.updated_at.to_string(),
            certificates,
        }
    }
}

// As it was given: with the members that were read out of it.
fn metadata(kept: Option<&Document>, scope: &[String], organization: Option<&str>) -> Members {
    let mut members: Members =
        kept.and_then(|kept| serde_json::from_str(kept.as_str()).ok()).unwrap_or_default();
    let own = [
        ("permitted_actions", to_raw_value(scope).ok()),
        ("operator_org", organization.and_then(|o| to_raw_value(o).ok())),
    ];
    members.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    members
}

/// A document as JSON, as it was given to the digit.
pub(crate) fn document(text: Option<&Document>) -> Option<Box<RawValue>> {
    text.and_then(|text| serde_json::from_str(text.as_str()).ok())
}
