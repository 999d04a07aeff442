//! What agents did: reported, and read back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::event::{Event, EventKind, Outcome};
use kakunin_core::log::leaf::Act;
use kakunin_core::log::record::{Body, EVENT, Record};
use kakunin_core::policy::Policy;
use kakunin_core::risk::{Family, Thresholds};
use kakunin_core::service::{EventStatus, Observed, RecordFilter, Recorded, Tenant};
use serde::Deserialize;
use utoipa::IntoParams;

use super::app::App;
use super::auth::{Reader, Reporter};
use super::compat::band::CoarseBand;
use super::compat::event::EventBody;
use super::compat::event_words::{meaning, no_word};
use super::compat::recorded::{ObservedBody, RecordedEvent, Sent, recorded};
use super::error::{ApiError, ErrorBody};
use super::json::Data;
use super::page::{self, PageBody, Pagination, Params};
use super::parts::Content;
use super::proofs::{LeafProof, LevelQuery};
use super::salvage;
use super::schema::{KindWord, OutcomeWord};
use super::subjects::Subjects;
use super::text::is_word;

/// Records one event of an agent of this tenant, scores it, and revokes if the score says so. At the level `proved` the
/// answer has the leaf that holds it, and the proof that it is in the log.
#[utoipa::path(
    operation_id = "reportEvent",
    post, path = "/api/v1/events", tag = "events", params(LevelQuery), request_body = EventBody,
    responses(
        (status = 201, description = "Recorded; 200 for a duplicate.", body = Data<ObservedBody>),
        (status = 200, description = "Recorded before: what was recorded.", body = Data<ObservedBody>),
        (status = 409, description = "`client_id_reused`, `stream_number_reused`: that is on record with another event.",
            body = ErrorBody),
        (status = "4XX", description = "Refused; 422 with `agent_not_active` if it was recorded, and the agent's certificate does not stand.",
            body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Reporter(caller): Reporter,
    Params(query): Params<LevelQuery>,
    Content(body): Content,
) -> Result<Response, ApiError> {
    let taken = salvage::take(&mut Subjects::new(&app, caller.tenant()), &body).await?;
    let (sent, event) = Sent::of(taken);
    // Before: what is on record is not answered with an error because of this.
    let tenant = app.kakunin.tenant(caller.tenant());
    let policy = tenant.policy().await?.policy;
    let observed = caller.kakunin(&app).tenant(caller.tenant()).observe(event).await?;
    if observed.status == EventStatus::NotAccepted {
        let sentence = "the agent's certificate is revoked or suspended, or was replaced or ran out more than a \
            day ago; the event is on record, and not scored";
        return Err(ApiError::unprocessable("agent_not_active", sentence));
    }
    let ranked = Family::ranked(&observed.evidence);
    let factors = ranked.iter().map(|(family, _)| family.as_str()).collect();
    let duplicate = observed.status == EventStatus::Duplicate;
    let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let data = shown(&tenant, &policy, &sent, &observed).await?.because_of(factors);
    let data = match query.proves() {
        true => data.proved(LeafProof::of(&tenant, observed.index).await),
        false => data,
    };
    Ok((status, Data { data }).into_response())
}

/// What became of an event, in the bands of this policy; of a duplicate, with what was recorded, where that may be another than
/// what came now.
pub(crate) async fn shown(
    tenant: &Tenant,
    policy: &Policy,
    sent: &Sent,
    observed: &Observed,
) -> Result<ObservedBody, ApiError> {
    let body = ObservedBody::new(sent, observed, &policy.thresholds);
    let differs = sent.unnamed || sent.occurred_at.is_none();
    let Some(index) = observed.index.filter(|_| differs && observed.status == EventStatus::Duplicate) else {
        return Ok(body);
    };
    let page = tenant.records(Some(index.saturating_add(1)), 1, |_| true).await?;
    let before = page.items.into_iter().find(|item| item.index == index);
    Ok(match before {
        Some(Recorded { record, .. }) => body.with_recorded(sent, &record),
        None => body,
    })
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// Only those of this agent.
    #[param(format = "uuid")]
    agent_id: Option<String>,
    /// Only those under the certificate of this serial number.
    #[param(pattern = "^[0-7][0-9A-F]{31}$")]
    serial: Option<String>,
    /// Only those of this kind.
    #[param(inline, value_type = Option<KindWord>)]
    kind: Option<EventKind>,
    /// As `kind`, or a word of another vocabulary, such as `transaction_initiated`: only those that were reported with it,
    /// and are of the kind that it means.
    #[param(pattern = "^[a-z][a-z0-9_]{0,39}$")]
    action_type: Option<String>,
    /// Only those that ended so.
    #[param(inline, value_type = Option<OutcomeWord>)]
    outcome: Option<Outcome>,
    /// Only those after which the score was in this band, by the policy that is in force now.
    #[param(inline)]
    band: Option<CoarseBand>,
    /// Only those recorded from this time on.
    #[param(schema_with = page::time_schema)]
    since: Option<String>,
    /// Only those recorded before this time.
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

/// Lists events, newest first, or oldest first with `after`. They are found by an index. Where that has yet to reach, and
/// for a word of another vocabulary, a page may be short, or empty, and have a cursor.
#[utoipa::path(
    operation_id = "listEvents",
    get, path = "/api/v1/events", tag = "events", params(EventQuery),
    responses(
        (status = 200, description = "Events.", body = PageBody<RecordedEvent>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    Params(query): Params<EventQuery>,
) -> Result<Response, ApiError> {
    let limit = page::limit(query.limit)?;
    let from = page::read_from(query.before.as_deref(), query.after.as_deref())?;
    let thresholds = app.kakunin.tenant(caller.tenant()).policy().await?.policy.thresholds;
    let (filter, word) = query.filter(&thresholds)?;
    let wanted = move |record: &Record| match &record.body {
        Body::Event(act, event) => word.as_ref().is_none_or(|word| is_called(word, act, event.as_deref())),
        Body::Control(_) => false,
    };
    let (tenant, kakunin) = (caller.tenant().clone(), app.kakunin.clone());
    let work = async move {
        let page = kakunin.tenant(&tenant).find(&filter, from, limit, wanted).await?;
        let data: Vec<_> = page.items.iter().filter_map(|item| recorded(item, &thresholds)).collect();
        Ok(axum::Json(PageBody { data, pagination: Pagination::of(limit, from, &page) }).into_response())
    };
    app.listing(caller.tenant(), work).await
}

impl EventQuery {
    /// What the index is asked, and the word that is looked for besides.
    fn filter(self, thresholds: &Thresholds) -> Result<(RecordFilter, Option<String>), ApiError> {
        let (since, until) = page::times(self.since.as_deref(), self.until.as_deref())?;
        let word = self.action_type;
        if let Some(word) = word.as_deref().filter(|word| !is_word(word)) {
            return Err(ApiError::bad_request("action_type_invalid", no_word(word)));
        }
        let meant = word.as_deref().map(|word| word.parse().unwrap_or(meaning(word).kind));
        let filter = RecordFilter {
            agent: page::agent("agent_id", "agent_id_malformed", self.agent_id.as_deref())?,
            serial: page::serial(self.serial.as_deref())?,
            kind: Some(EVENT),
            act: self.kind.or(meant),
            outcome: self.outcome,
            scores: self.band.map(|band| band.scores(thresholds)),
            since,
            until,
        };
        Ok((filter, word))
    }
}

// Its kind, or the word that it was reported with, which is gone when its details are erased.
fn is_called(word: &str, act: &Act, event: Option<&Event>) -> bool {
    act.facts.kind.as_str() == word || event.and_then(|e| e.word.as_ref()).is_some_and(|w| w.as_str() == word)
}
