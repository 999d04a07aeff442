//! The log of a tenant, as its owner reads it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kakunin_core::event::{Attribution, Outcome};
use kakunin_core::id::hex_encode;
use kakunin_core::log::merkle::leaf_hash;
use kakunin_core::log::record::{Body, Record};
use kakunin_core::service::{ReadFrom, RecordFilter, Recorded};
use kakunin_core::time::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::page::{self, Pagination, Params};
use super::schema::OutcomeWord;
use super::text::{is_word, shown};

/// Which records.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only those of this kind.
    #[param(schema_with = kind_schema)]
    kind: Option<String>,
    /// The same; nothing is of a kind that is not known.
    #[param(pattern = r"^[a-z][a-z0-9_]{0,39}\.[a-z][a-z0-9_]{0,39}$")]
    event_type: Option<String>,
    /// Only those asked for by such an actor.
    #[param(inline)]
    actor_type: Option<ActorType>,
    /// Only those that concern this agent.
    #[param(format = "uuid")]
    agent_id: Option<String>,
    /// The same.
    #[param(format = "uuid")]
    affected_id: Option<String>,
    /// Only those that concern the certificate of this serial number.
    #[param(pattern = "^[0-7][0-9A-F]{31}$")]
    serial: Option<String>,
    /// Only events that ended so.
    #[param(inline, value_type = Option<OutcomeWord>)]
    outcome: Option<Outcome>,
    /// Only those from this time on.
    #[param(schema_with = page::time_schema)]
    since: Option<String>,
    /// Only those before this time.
    #[param(schema_with = page::time_schema)]
    until: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// Newest first, from this place of the log on: the cursor of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
    /// Oldest first, from this place of the log on: the cursor of the page before, or 0. Not with `before`.
    #[param(pattern = "^[0-9]{1,19}$")]
    after: Option<String>,
}

fn kind_schema() -> Schema {
    let names = Record::KINDS.iter().map(|(name, _)| *name);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build().into()
}

/// Who did it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ActorType {
    /// A key of the API.
    User,
    /// An agent, as far as it was shown to be.
    Agent,
    /// The deployment by itself.
    System,
}

/// One record.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditRow {
    /// Index in the tenant's log.
    id: String,
    tenant_id: String,
    /// The kind of record; `record.damaged` for one that is gone, or not what was written.
    event_type: String,
    #[schema(inline)]
    actor_type: ActorType,
    actor_id: Option<String>,
    description: String,
    /// Which agent.
    affected_id: Option<String>,
    certificate_serial: Option<String>,
    /// What the record holds; null once it was erased.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Box<RawValue>>,
    /// Whether that was erased.
    erased: bool,
    /// Index of the record that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_by: Option<String>,
    created_at: String,
    /// RFC 6962 hash of its leaf, hex; empty if the record is damaged.
    entry_hash: String,
}

/// A page of the log, and what the log is as of now.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    data: Vec<AuditRow>,
    pagination: Pagination,
    /// Signed note (C2SP) over the whole log.
    checkpoint: Option<String>,
    /// Verifier key of the checkpoint.
    log_verifier: String,
}

/// The tenant's log, newest first, or oldest first with `after`. Records are found by an index. Where that has yet to
/// reach, and for an `actor_type`, a page may be short, or empty, and have a cursor.
#[utoipa::path(
    operation_id = "listRecords",
    get, path = "/api/v1/audit-log", tag = "audit", params(AuditQuery),
    responses(
        (status = 200, description = "Records.", body = AuditPage),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn log(
    State(app): State<App>,
    Reader(caller): Reader,
    Params(query): Params<AuditQuery>,
) -> Result<Response, ApiError> {
    let limit = page::limit(query.limit)?;
    let from = page::read_from(query.before.as_deref(), query.after.as_deref())?;
    let filter = query.filter()?;
    let affected = page::agent("affected_id", "affected_id_malformed", query.affected_id.as_deref())?;
    let wanted = move |record: &Record| {
        query.event_type.as_ref().is_none_or(|kind| kind == record.name())
            && affected.is_none_or(|agent| record.agent == Some(agent))
            && query.actor_type.is_none_or(|kind| kind == actor(record).0)
    };
    let (tenant, kakunin) = (caller.tenant().clone(), app.kakunin.clone());
    let work = async move {
        let page = kakunin.tenant(&tenant).find(&filter, from, limit, wanted).await?;
        let good = page.items.iter().map(|item| (item.index, row(tenant.as_str(), item)));
        let lost = page.damaged.iter().map(|index| (*index, damaged(tenant.as_str(), *index)));
        let mut data: Vec<_> = good.chain(lost).collect();
        data.sort_unstable_by_key(|(index, _)| *index);
        if !matches!(from, ReadFrom::After(_)) {
            data.reverse();
        }
        let body = AuditPage {
            data: data.into_iter().map(|(_, row)| row).collect(),
            pagination: Pagination::of(limit, from, &page),
            checkpoint: kakunin.tenant(&tenant).checkpoint().await?,
            log_verifier: kakunin.tenant(&tenant).log_verifier().await?,
        };
        Ok(axum::Json(body).into_response())
    };
    app.listing(caller.tenant(), work).await
}

impl AuditQuery {
    /// What the index is asked.
    fn filter(&self) -> Result<RecordFilter, ApiError> {
        let is_kind = |kind: &String| kind.split_once('.').is_some_and(|(a, b)| is_word(a) && is_word(b));
        if let Some(other) = self.event_type.as_ref().filter(|kind| !is_kind(kind)) {
            let sentence = format!(
                "`event_type` is `{}`: write a kind of record, such as `certificate.revoked`",
                shown(other)
            );
            return Err(ApiError::bad_request("event_type_invalid", sentence));
        }
        let kind = self.kind.as_deref().map(|name| Record::kind_named(name).ok_or_else(|| no_kind(name)));
        let named = |name: &str| Record::kind_named(name).unwrap_or(NO_KIND);
        let (since, until) = page::times(self.since.as_deref(), self.until.as_deref())?;
        let agent = page::agent("agent_id", "agent_id_malformed", self.agent_id.as_deref())?;
        let affected = page::agent("affected_id", "affected_id_malformed", self.affected_id.as_deref())?;
        Ok(RecordFilter {
            agent: agent.or(affected),
            serial: page::serial(self.serial.as_deref())?,
            kind: kind.transpose()?.or_else(|| self.event_type.as_deref().map(named)),
            outcome: self.outcome,
            since,
            until,
            ..RecordFilter::default()
        })
    }
}

/// The code of no kind of record.
const NO_KIND: u16 = 0;

fn no_kind(name: &str) -> ApiError {
    let names: Vec<_> = Record::KINDS.iter().map(|(name, _)| *name).collect();
    let sentence = format!("`kind` is `{}`: write one of {}", shown(name), names.join(", "));
    ApiError::bad_request("kind_unknown", sentence)
}

fn actor(record: &Record) -> (ActorType, Option<String>) {
    match (&record.body, &record.by) {
        (_, Some(by)) => (ActorType::User, Some(by.as_str().to_owned())),
        (Body::Event(act, _), None) if act.attribution > Attribution::Asserted => {
            (ActorType::Agent, record.agent.map(|id| id.to_string()))
        }
        _ => (ActorType::System, None),
    }
}

fn row(tenant: &str, item: &Recorded) -> AuditRow {
    let record = &item.record;
    let (actor_type, actor_id) = actor(record);
    let payload = item.entry.payload.as_ref();
    AuditRow {
        id: item.index.to_string(),
        tenant_id: tenant.to_owned(),
        event_type: record.name().to_owned(),
        actor_type,
        actor_id,
        description: describe(record),
        affected_id: record.agent.map(|id| id.to_string()),
        certificate_serial: record.serial.map(|serial| serial.to_string()),
        metadata: payload.and_then(|p| serde_json::from_slice(&p.octets).ok()),
        erased: item.erased.is_some(),
        erased_by: item.erased.map(|record| record.to_string()),
        created_at: record.time.to_string(),
        entry_hash: hex_encode(&leaf_hash(&item.entry.leaf)),
    }
}

/// It stands in its place, and says nothing.
fn damaged(tenant: &str, index: u64) -> AuditRow {
    AuditRow {
        id: index.to_string(),
        tenant_id: tenant.to_owned(),
        event_type: "record.damaged".to_owned(),
        actor_type: ActorType::System,
        actor_id: None,
        description: "damaged: this record is gone, or not what was written; restore the store from a backup"
            .to_owned(),
        affected_id: None,
        certificate_serial: None,
        metadata: None,
        erased: false,
        erased_by: None,
        created_at: UnixTime::default().to_string(),
        entry_hash: String::new(),
    }
}

fn describe(record: &Record) -> String {
    match &record.body {
        Body::Event(act, _) => {
            let outcome = act.facts.outcome;
            let scope = if act.facts.out_of_scope { ", outside its scope" } else { "" };
            format!("{}: {outcome}{scope}", act.action.as_str())
        }
        Body::Control(control) => control.name().replace(['.', '_'], " "),
    }
}
