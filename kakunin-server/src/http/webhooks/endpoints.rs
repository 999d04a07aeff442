//! Endpoints: made, shown, changed, given another secret, taken away.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::agent::Label;
use kakunin_core::service::{MAX_SECRET_OVERLAP, NewWebhook, SECRET_OVERLAP, WebhookChange};
use kakunin_core::time::SECOND;
use kakunin_core::webhook::{Scheme, UrlError, WebhookEvent, WebhookFacts, WebhookSecret, WebhookUrl};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::webhook_id;
use crate::http::app::App;
use crate::http::auth::{Operator, Reader};
use crate::http::compat::agent::label;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::json::{Data, Json, Nothing, Optional};
use crate::http::schema::{LabelText, SchemeWord, WebhookEventWord, WebhookUrlText};

/// An endpoint to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhookBody {
    #[schema(value_type = WebhookUrlText)]
    url: String,
    /// What it is told.
    #[schema(inline, value_type = Vec<WebhookEventWord>, min_items = 1)]
    events: Vec<WebhookEvent>,
    /// How deliveries are written and signed; by Standard Webhooks if not given. It stays.
    #[serde(default)]
    #[schema(inline, value_type = Option<SchemeWord>)]
    scheme: Option<Scheme>,
    /// What it is for.
    #[schema(value_type = Option<LabelText>)]
    label: Option<String>,
}

/// What of it is to change; what is not given stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookPatch {
    #[schema(value_type = Option<WebhookUrlText>)]
    url: Option<String>,
    /// What it is told.
    #[schema(inline, value_type = Option<Vec<WebhookEventWord>>, min_items = 1)]
    events: Option<Vec<WebhookEvent>>,
    /// What it is for.
    #[schema(value_type = Option<LabelText>)]
    label: Option<String>,
    /// Whether deliveries are sent. Once they are again, it goes on where it stopped.
    active: Option<bool>,
}

/// Another secret.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateBody {
    /// For how many seconds the secret before signs as well; a day if not given.
    #[serde(default, deserialize_with = "crate::http::json::whole::optional")]
    #[schema(minimum = 0, maximum = 604_800)]
    overlap: Option<u64>,
}

/// An endpoint.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookBody {
    id: String,
    url: String,
    events: Vec<String>,
    /// `standard`, `vendor_server`, `vendor_sdk` or `vendor_docs`.
    scheme: String,
    label: Option<String>,
    /// Whether deliveries are sent.
    active: bool,
    /// Why not: `ordered`; `gone` if the receiver answered 410; `failing` if nothing came through for days.
    disabled: Option<String>,
    created_at: String,
    /// The last characters of its secret.
    secret_hint: String,
    /// Until when the secret before signs as well.
    former_secret_until: Option<String>,
    /// The secret itself, once: nobody is shown it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl WebhookBody {
    fn new(app: &App, facts: &WebhookFacts, secret: Option<&WebhookSecret>) -> Self {
        let former = facts.former.as_ref().filter(|former| app.now() < former.until);
        Self {
            id: facts.id.to_string(),
            url: facts.url.to_string(),
            events: facts.events.iter().map(|event| event.as_str().to_owned()).collect(),
            scheme: facts.scheme.as_str().to_owned(),
            label: facts.label.as_ref().map(|label| label.as_str().to_owned()),
            active: facts.is_active(),
            disabled: facts.disabled.map(|why| why.as_str().to_owned()),
            created_at: facts.created_at.to_string(),
            secret_hint: facts.secret.hint.clone(),
            former_secret_until: former.map(|former| former.until.to_string()),
            secret: secret.map(|secret| secret.reveal().to_owned()),
        }
    }
}

fn url(text: &str) -> Result<WebhookUrl, ApiError> {
    let refused = |error: UrlError| ApiError::unprocessable(error.code(), error.to_string()).about("url");
    WebhookUrl::parse(text).map_err(refused)
}

fn optional_label(text: Option<String>) -> Result<Option<Label>, ApiError> {
    text.map(|text| label("label", text)).transpose()
}

/// Makes an endpoint: it is told what happens from now on. Its secret is in the answer, and nowhere else.
#[utoipa::path(
    operation_id = "createWebhook",
    post, path = "/api/v1/webhooks", tag = "webhooks", request_body = NewWebhookBody,
    responses(
        (status = 201, description = "Made.", body = Data<WebhookBody>),
        (status = "4XX", description = "Refused; 422 for a URL that nothing is sent to.", body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Operator(caller): Operator,
    Json(body): Json<NewWebhookBody>,
) -> Result<Response, ApiError> {
    let new = NewWebhook {
        url: url(&body.url)?,
        events: body.events,
        scheme: body.scheme.unwrap_or_default(),
        label: optional_label(body.label)?,
    };
    let (facts, secret) = caller.kakunin(&app).tenant(caller.tenant()).create_webhook(new).await?;
    let data = WebhookBody::new(&app, &facts, Some(&secret));
    Ok((StatusCode::CREATED, Data { data }).into_response())
}

/// The endpoints of the caller's tenant, oldest first.
#[utoipa::path(
    operation_id = "listWebhooks",
    get, path = "/api/v1/webhooks", tag = "webhooks",
    responses(
        (status = 200, description = "Endpoints, at most 50.", body = Data<Vec<WebhookBody>>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
) -> Result<Data<Vec<WebhookBody>>, ApiError> {
    let all = app.kakunin.tenant(caller.tenant()).webhooks().await?;
    Ok(Data { data: all.iter().map(|facts| WebhookBody::new(&app, facts, None)).collect() })
}

/// An endpoint.
#[utoipa::path(
    operation_id = "getWebhook",
    get, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.", format = "uuid")),
    responses(
        (status = 200, description = "It.", body = Data<WebhookBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
) -> Result<Data<WebhookBody>, ApiError> {
    let facts = app.kakunin.tenant(caller.tenant()).webhook(&webhook_id(&id)?).await?;
    Ok(Data { data: WebhookBody::new(&app, &facts, None) })
}

/// Changes an endpoint, or switches it off and on.
#[utoipa::path(
    operation_id = "updateWebhook",
    patch, path = "/api/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookPatch,
    params(("id" = String, Path, description = "The endpoint.", format = "uuid")),
    responses(
        (status = 200, description = "As it is now.", body = Data<WebhookBody>),
        (status = "4XX", description = "Refused; 422 for a URL that nothing is sent to.", body = ErrorBody),
    ),
)]
pub(crate) async fn patch(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(body): Json<WebhookPatch>,
) -> Result<Data<WebhookBody>, ApiError> {
    let id = webhook_id(&id)?;
    let change = WebhookChange {
        url: body.url.as_deref().map(url).transpose()?,
        events: body.events,
        label: optional_label(body.label)?,
        active: body.active,
    };
    let facts = caller.kakunin(&app).tenant(caller.tenant()).change_webhook(&id, change).await?;
    Ok(Data { data: WebhookBody::new(&app, &facts, None) })
}

/// Gives an endpoint another secret, which is in the answer, and nowhere else. The one before signs as well for a while;
/// with the vendor's schemes, which have room for one signature, it ends at once.
#[utoipa::path(
    operation_id = "rotateWebhookSecret",
    post, path = "/api/v1/webhooks/{id}/rotate", tag = "webhooks", request_body = Option<RotateBody>,
    params(("id" = String, Path, description = "The endpoint.", format = "uuid")),
    responses(
        (status = 200, description = "With its new secret.", body = Data<WebhookBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Optional(body): Optional<RotateBody>,
) -> Result<Data<WebhookBody>, ApiError> {
    let id = webhook_id(&id)?;
    let (most, usual) = (MAX_SECRET_OVERLAP / SECOND, SECRET_OVERLAP / SECOND);
    let overlap = body.overlap.unwrap_or(usual);
    if overlap > most {
        let sentence = format!("`overlap` is {overlap}: write 0 to {most} seconds, which is a week");
        return Err(ApiError::unprocessable("overlap_invalid", sentence).about("overlap"));
    }
    let tenant = caller.kakunin(&app).tenant(caller.tenant());
    let (facts, secret) = tenant.rotate_webhook(&id, overlap * SECOND).await?;
    Ok(Data { data: WebhookBody::new(&app, &facts, Some(&secret)) })
}

/// An endpoint that was taken away.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedWebhook {
    id: String,
    /// `deleted`
    status: String,
}

/// Takes an endpoint away, with all that waits for it.
#[utoipa::path(
    operation_id = "deleteWebhook",
    delete, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.", format = "uuid")),
    responses(
        (status = 200, description = "Taken away.", body = Data<DeletedWebhook>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Data<DeletedWebhook>, ApiError> {
    caller.kakunin(&app).tenant(caller.tenant()).delete_webhook(&webhook_id(&id)?).await?;
    Ok(Data { data: DeletedWebhook { id, status: "deleted".to_owned() } })
}
