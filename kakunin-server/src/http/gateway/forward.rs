//! Forward authentication: a gateway that ended TLS asks, before it passes a request on, by header fields.
//!
//! nginx calls it `auth_request`, Caddy `forward_auth`, Traefik forwardAuth, Envoy `ext_authz`. The gateway
//! needs not have verified the certificate: chain, standing and scope are looked at here. Its method, path and
//! `Authorization` are the client's, and nobody's word: they permit nothing, but a path that the service behind could
//! read otherwise than the gateway did is refused. Only gateways that `--gateway` names are answered: being a trusted
//! proxy, or this machine, is not enough.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use kakunin_core::event::Attribution;
use kakunin_core::id::Serial;
use kakunin_verify::possession::{ACTION_HEADER, SERIAL_HEADER, SPIFFE_ID_HEADER};
use kakunin_verify::{Denied, VerifiedAgent};

use super::check::in_touch;
use super::decision::{Identified, Question, count, decide, itself};
use super::dry_run::DryRunOf;
use super::proxy::{GatewayProxy, one};
use super::refusal::{Refused, refusal};
use super::target::{self, Route};
use crate::http::app::App;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::peer::client_address;

/// Whether the agent, whose certificate a configured gateway hands over in its own field and form, may do what
/// the gateway says that it asks for. 200 is yes, and has no content; any method and any path below will do.
#[utoipa::path(
    operation_id = "authorizeForwarded",
    get, path = "/api/v1/gateway/auth", tag = "gateway", security(()),
    params(("x-kakunin-action" = Option<String>, Header,
        description = "What the agent wants to do, `verb:resource`, set by the gateway from its own configuration.")),
    responses(
        (status = 200, description = "It may, and that is on record. Or a dry run lets it through, and \
            `x-kakunin-dry-run` says why it would be refused; the other fields are empty unless its certificate stands.",
            headers(("x-kakunin-cert-serial" = String), ("x-kakunin-spiffe-id" = String),
                ("x-kakunin-dry-run" = Option<String>, description = "`would-deny; code=scope_violation`"))),
        (status = 401, description = "No certificate, or one that is not acceptable.", body = ErrorBody),
        (status = 403, description = "It may not, or nobody configured the caller as a gateway; `target_ambiguous` if the path \
            behind this one, or in `x-forwarded-uri` or `x-original-uri`, can be read in more than one way.", body = ErrorBody),
        (status = 503, description = "Nothing could be decided: no.", body = ErrorBody),
    ),
)]
pub(crate) async fn authorize(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    answer(&app, &parts).await.map_err(ApiError::at_forward_auth)
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, ApiError> {
    let options = &app.options;
    let Some(gateway) = GatewayProxy::of(parts, &options.gateways) else {
        let sentence = "only gateways that the server's configuration names may ask; see --gateway";
        return Err(ApiError::gateway(403, "gateway_unauthenticated", sentence));
    };
    let target = target::forwarded(parts);
    let dry_run = DryRunOf::new(app, &parts.headers, Route::forwarded(parts, &target));
    match permitted(app, parts, (gateway, target), &dry_run).await {
        Ok(agent) => Ok(named(Some(&agent)).into_response()),
        Err(refused) => {
            let would = dry_run.let_through(refused)?;
            Ok((would.header(), named(would.agent(app))).into_response())
        }
    }
}

/// The agent, if it may.
async fn permitted(
    app: &App,
    parts: &Parts,
    (gateway, target): (&GatewayProxy, Result<(), Denied>),
    dry_run: &DryRunOf<'_>,
) -> Result<VerifiedAgent, Refused> {
    in_touch(app)?;
    let who = match identify(app, parts, gateway) {
        Ok(who) => who,
        Err(error) => {
            app.limits.nobody(client_address(parts, &app.options.trusted_proxies))?;
            return Err(error.into());
        }
    };
    count(app, &who.agent).map_err(Refused::of(&who.agent))?;
    let action = one(&parts.headers, ACTION_HEADER).map_err(Refused::of(&who.agent))?.unwrap_or_default();
    // The gateway's configuration names it, and not the agent: one that is none is the operator's fault, and on no record.
    let question = Question { action, target, instead: None };
    decide(app, &who, question, dry_run, |_| ()).await?;
    Ok(who.agent)
}

/// The agent whose key the gateway saw used in the handshake.
fn identify(app: &App, parts: &Parts, gateway: &GatewayProxy) -> Result<Identified, ApiError> {
    let chain = gateway.certificates(parts)?;
    let agent = app.gateway.verifier.identify(&chain, app.now()).map_err(|denied| refusal(&denied))?;
    // Whoever reads that field behind us would take the request for another's.
    let named = one(&parts.headers, SERIAL_HEADER)?.map(str::parse::<Serial>);
    if named.is_some_and(|serial| serial.as_ref() != Ok(agent.serial())) {
        let sentence = format!("`{SERIAL_HEADER}` is not that of the certificate; leave it out");
        return Err(ApiError::gateway(401, "possession_invalid", sentence));
    }
    Ok(Identified {
        agent,
        attribution: Attribution::Possession,
        is_shown: true,
        reporter: itself(app),
        nonce: None,
    })
}

/// For the gateway to pass on: who it is. Empty if it is nobody, so that what the client said of itself is replaced.
fn named(agent: Option<&VerifiedAgent>) -> [(HeaderName, HeaderValue); 2] {
    let value = |text: String| HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""));
    let of = |text: fn(&VerifiedAgent) -> String| value(agent.map(text).unwrap_or_default());
    [
        (HeaderName::from_static(SERIAL_HEADER), of(|agent| agent.serial().to_string())),
        (HeaderName::from_static(SPIFFE_ID_HEADER), of(|agent| agent.spiffe_id().to_owned())),
    ]
}
