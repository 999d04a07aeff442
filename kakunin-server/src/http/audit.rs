//! The log of a tenant, as its owner reads it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kakunin_core::event::Attribution;
use kakunin_core::id::hex_encode;
use kakunin_core::log::merkle::leaf_hash;
use kakunin_core::log::record::{Body, Record};
use kakunin_core::service::Recorded;
use kakunin_core::time::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::page::{self, Pagination, Params};
use super::text::{is_word, shown};

/// Which records.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only those of this kind, such as `certificate.revoked`.
    #[param(pattern = r"^[a-z][a-z0-9_]{0,39}\.[a-z][a-z0-9_]{0,39}$")]
    event_type: Option<String>,
    /// Only those asked for by such an actor.
    #[param(inline)]
    actor_type: Option<ActorType>,
    /// Only those that concern this agent.
    #[param(format = "uuid")]
    affected_id: Option<String>,
    /// Only those from this time on.
    #[param(
        pattern = r"^20([0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([02468][048]|[13579][26])-02-29)T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
    )]
    since: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
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

/// The tenant's log, newest first. A filter that fits little is answered with a short page, or an empty one, and a
/// cursor: each request looks at 2,048 records at the most.
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
    let (limit, before) = (page::limit(query.limit)?, page::before(query.before.as_deref())?);
    let is_kind = |kind: &String| kind.split_once('.').is_some_and(|(a, b)| is_word(a) && is_word(b));
    if let Some(other) = query.event_type.as_ref().filter(|kind| !is_kind(kind)) {
        let sentence = format!(
            "`event_type` is `{}`: write a kind of record, such as `certificate.revoked`",
            shown(other)
        );
        return Err(ApiError::bad_request("event_type_invalid", sentence));
    }
    let agent = page::agent("affected_id", "affected_id_malformed", query.affected_id.as_deref())?;
    let since = query.since.as_deref().map(|text| {
        let malformed = || {
            let given = shown(text);
            let sentence =
                format!("`since` is `{given}`: write RFC 3339, such as 2026-11-23T08:00:00Z; a `+` is written `%2B` there");
            ApiError::bad_request("since_malformed", sentence)
        };
        UnixTime::from_rfc3339(text).ok_or_else(malformed)
    });
    let since = since.transpose()?;
    let wanted = move |record: &Record| {
        query.event_type.as_ref().is_none_or(|kind| kind == record.name())
            && agent.is_none_or(|a| record.agent == Some(a))
            && since.is_none_or(|since| record.time >= since)
            && query.actor_type.is_none_or(|kind| kind == actor(record).0)
    };
    let (tenant, kakunin) = (caller.tenant().clone(), app.kakunin.clone());
    let work = async move {
        let page = kakunin.tenant(&tenant).records(before, limit, wanted).await?;
        let good = page.items.iter().map(|item| (item.index, row(tenant.as_str(), item)));
        let lost = page.damaged.iter().map(|index| (*index, damaged(tenant.as_str(), *index)));
        let mut data: Vec<_> = good.chain(lost).collect();
        data.sort_unstable_by_key(|(index, _)| core::cmp::Reverse(*index));
        let body = AuditPage {
            data: data.into_iter().map(|(_, row)| row).collect(),
            pagination: Pagination::new(limit, page.next),
            checkpoint: kakunin.tenant(&tenant).checkpoint().await?,
            log_verifier: kakunin.tenant(&tenant).log_verifier().await?,
        };
        Ok(axum::Json(body).into_response())
    };
    app.listing(caller.tenant(), work).await
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
