//! The check by which whoever asks names the action in a body: an agent itself, or a gateway with an API key.

use axum::body::{Body, Bytes};
use axum::extract::{OriginalUri, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use kakunin_core::error::StoreError;
use kakunin_core::event::{Attribution, Event, Name, ShortName};
use kakunin_core::id::Serial;
use kakunin_core::revoke::Reason;
use kakunin_core::service::Kakunin;
use kakunin_core::time::DAY;
use kakunin_verify::denied::Code;
use kakunin_verify::layer::{Presented, Shown};
use kakunin_verify::possession::{Authorities, SERIAL_HEADER};
use kakunin_verify::{Denied, VerifiedAgent};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::CheckAnswer;
use super::asked::AskedRequest;
use super::decision::{Identified, Question, count, decide, itself};
use super::dry_run::DryRunOf;
use super::proxy::GatewayProxy;
use super::refusal::{Refused, refusal};
use super::target::{self, Route};
use crate::http::app::App;
use crate::http::auth::Caller;
use crate::http::counts::STORAGE_REFUSED;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::json::{self, Data};
use crate::http::peer::{Peer, client_address};
use crate::http::salvage::MALFORMED;
use crate::http::schema::ActionText;

/// What is asked. The agent shows itself by its TLS client certificate, or by `x-kakunin-certificate` with
/// an RFC 9421 signature in the fields of this request, or of the request that a gateway passes on. The signature covers
/// `@authority`, which is a name of this server, or of the gateway; and `content-digest`, where there is content.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckBody {
    /// What the agent wants to do, `verb:resource`.
    #[schema(value_type = ActionText)]
    action: String,
    /// The agent's request, when a gateway asks on its behalf; such a gateway needs a key of role
    /// `reporter`.
    #[serde(default, deserialize_with = "crate::http::json::object::optional")]
    request: Option<AskedRequest>,
    /// What is longer than 64 octets is recorded cut, and what hides text in it written out.
    tool: Option<String>,
    /// What is longer than 256 octets is recorded cut, and what hides text in it written out.
    session_id: Option<String>,
    /// What is longer than 64 octets is recorded cut, and what hides text in it written out.
    correlation: Option<String>,
}

/// Whether an agent may do what it asks for. Only 200 is yes.
#[utoipa::path(
    operation_id = "checkRequest",
    post, path = "/api/v1/gateway/check", tag = "gateway", request_body = CheckBody, security((), ("api_key" = [])),
    responses(
        (status = 200, description = "It may, and that is on record. Or a dry run lets it through: `dry_run` is true, `would` \
            says why it would be refused, and so does `x-kakunin-dry-run`.", body = Data<CheckAnswer>,
            headers(("x-kakunin-dry-run" = Option<String>, description = "`would-deny; code=scope_violation`"))),
        (status = 401, description = "It is not shown whose request it is: `missing_cert_serial`, `possession_missing` and the like.",
            body = ErrorBody),
        (status = 403, description = "It may not: `scope_violation`, `agent_revoked`, `agent_inactive`, `agent_expired` and the like.",
            body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
        (status = 429, description = "Too many of one agent, or of one that has no identity any more: no.", body = ErrorBody),
        (status = 503, description = "Nothing could be decided: no.", body = ErrorBody),
    ),
)]
pub(crate) async fn check(State(app): State<App>, request: Request<Body>) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let caller = Caller::presented(&parts, &app)?;
    let whole = Request::from_parts(parts.clone(), body);
    let json::Json(Raw { bytes, body }) = read(whole).await?;
    let asked = Asked::new(&app, &parts, caller, body.request.as_ref(), bytes)?;
    let target = body.request.as_ref().map_or(Ok(()), |request| target::passed_on(request, &asked.headers));
    let dry_run = DryRunOf::new(&app, &asked.headers, Route::passed_on(body.request.as_ref(), &target))
        .asked_by(asked.relayed_by.as_ref().map(Caller::tenant));
    match asked.permitted(&app, &body, target, &dry_run).await {
        Ok((who, index)) => {
            let answer = CheckAnswer::new(&body.action, index).of(&who.agent).by(who.attribution);
            Ok(Data { data: answer }.into_response())
        }
        Err(refused) => {
            let would = dry_run.let_through(refused)?;
            let answer = CheckAnswer::new(&body.action, would.index).in_dry_run(&app, &would);
            Ok((would.header(), Data { data: answer }).into_response())
        }
    }
}

/// The agent that asks for itself, with a certificate that stands, and by nobody's word but its key's.
pub(crate) async fn agent_itself(app: &App, parts: &Parts) -> Result<VerifiedAgent, ApiError> {
    in_touch(app)?;
    let who = Asked::new(app, parts, None, None, Bytes::new())?.identify(app).await?;
    who.agent.recheck(app.now()).map_err(|denied| refusal(&denied))?;
    if who.attribution < Attribution::Possession {
        return Err(ApiError::unauthorized("possession_missing", "show possession of the certificate's key"));
    }
    Ok(who.agent)
}

/// Refuses while it may not be known here what others took away.
pub(super) fn in_touch(app: &App) -> Result<(), ApiError> {
    app.kakunin.in_touch().map_err(|error| ApiError::from(error).at_gateway())
}

/// A body with the octets it was read from.
struct Raw {
    bytes: Bytes,
    body: CheckBody,
}

async fn read(request: Request<Body>) -> Result<json::Json<Raw>, ApiError> {
    json::check_type(request.headers())?;
    let bytes = json::read(request, &()).await?;
    let body = json::parse(&bytes)?;
    Ok(json::Json(Raw { bytes, body }))
}

/// Whose request is to be checked, and who asks.
struct Asked {
    headers: HeaderMap,
    method: String,
    target: String,
    /// The URI's, where HTTP/2 has it.
    authority: Option<String>,
    /// The certificates that a handshake proved: ours, or that of a gateway that is believed.
    peer: Result<Option<std::sync::Arc<[Vec<u8>]>>, ApiError>,
    /// Whom a signature has to be for.
    us: Authorities,
    /// What was sent, if it came with the request that is checked.
    content: Option<Bytes>,
    /// Whose gateway asks; `None` if it is the agent itself.
    relayed_by: Option<Caller>,
    address: std::net::IpAddr,
}

impl Asked {
    fn new(
        app: &App,
        parts: &Parts,
        caller: Option<Caller>,
        passed_on: Option<&AskedRequest>,
        body: Bytes,
    ) -> Result<Self, ApiError> {
        let address = client_address(parts, &app.options.trusted_proxies);
        let gateway = GatewayProxy::of(parts, &app.options.gateways);
        let seen = |headers: &HeaderMap| {
            let chain = gateway.map(|gateway| gateway.handed_over(headers, parts)).transpose()?;
            Ok::<_, ApiError>(chain.flatten().map(Into::into))
        };
        if let Some(request) = passed_on {
            // Being a gateway is not enough: it passes on what strangers write into bodies.
            if caller.as_ref().is_none_or(|c| !c.may_report()) {
                let sentence = "whoever asks on behalf of an agent needs a key of role `reporter`";
                return Err(ApiError::unauthorized("gateway_unauthenticated", sentence).at_gateway());
            }
            let headers = header_map(&request.headers.0)?;
            return Ok(Self {
                peer: seen(&headers),
                headers,
                method: request.method.clone(),
                target: request.target.clone(),
                authority: None,
                // A name that is none is nobody's.
                us: Authorities::new([&request.authority]).unwrap_or_else(|_| Authorities::none()),
                content: None,
                relayed_by: caller,
                address,
            });
        }
        let own = parts.extensions.get::<Peer>().and_then(|peer| peer.certificates.clone());
        // As it was sent: routers below take prefixes off.
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self {
            headers: parts.headers.clone(),
            method: parts.method.to_string(),
            target,
            authority: uri.authority().map(ToString::to_string),
            peer: if own.is_some() { Ok(own) } else { seen(&parts.headers) },
            us: app.gateway.us.clone(),
            content: Some(body),
            relayed_by: None,
            address,
        })
    }

    /// Whose request it is, if the agent may, and the index of the record of that.
    async fn permitted(
        &self,
        app: &App,
        body: &CheckBody,
        target: Result<(), Denied>,
        dry_run: &DryRunOf<'_>,
    ) -> Result<(Identified, Option<u64>), Refused> {
        in_touch(app)?;
        let who = self.identify(app).await?;
        // A gateway makes it of the name of a tool, or of a path: one that is none is refused, and counts.
        let question = Question { action: &body.action, target, instead: MALFORMED.parse().ok() };
        match decide(app, &who, question, dry_run, |event| note(event, body)).await {
            Err(refused) if refused.error.code() == Code::PossessionReplayed.as_str() => {
                self.alert(app, who.agent.serial()).await?;
                app.limits.nobody(self.address)?;
                Err(refused)
            }
            decided => decided.map(|index| (who, index)),
        }
    }

    async fn identify(&self, app: &App) -> Result<Identified, Refused> {
        let target = (self.method.as_str(), self.target.as_str());
        let peer = self.peer.as_ref().map_err(ApiError::clone)?;
        let mut presented = Presented::new(&self.headers, target, peer.as_deref(), false);
        if let Some(authority) = &self.authority {
            presented = presented.authority(authority);
        }
        let shown = presented.shown(&app.gateway.verifier, &self.us, app.now()).and_then(|shown| {
            let content = self.content.as_ref().map_or(Ok(()), |content| shown.content(content));
            // Before it counts as the agent's: whoever has its request could send that again and again.
            let stands = shown.agent().recheck(app.now()).is_ok();
            let unused = || if stands { shown.unused(&app.gateway.nonces, app.now()) } else { Ok(()) };
            match content.and_then(|()| unused()) {
                Ok(()) => Ok(shown),
                Err(denied) => Err((denied, Some(shown.agent().clone()))),
            }
        });
        match shown {
            Ok(shown) => self.use_up(app, shown),
            Err((denied, agent)) => {
                let serial = agent.map(|agent| *agent.serial()).or_else(|| self.named());
                if denied.kind() == Code::PossessionMissing && app.options.insecure_serial_only {
                    return self.by_serial_only(app, serial).await;
                }
                if let Some(serial) = serial.filter(|_| suspicious(denied.kind())) {
                    self.alert(app, &serial).await?;
                }
                app.limits.nobody(self.address)?;
                Err(refusal(&denied).into())
            }
        }
    }

    /// Whoever reports the decision: the gateway that asks, or this server's own check.
    fn reporter(&self, app: &App) -> Kakunin {
        self.relayed_by.as_ref().map_or_else(|| itself(app), |caller| caller.kakunin(app))
    }

    /// Uses the nonce up, if there is one: after the limit, so that who is told to wait may send the same again.
    fn use_up(&self, app: &App, shown: Shown) -> Result<Identified, Refused> {
        let (agent, signed) = (shown.agent().clone(), shown.is_signed());
        let nonce = shown.nonce().and_then(|nonce| nonce.parse().ok());
        let own = self.relayed_by.as_ref().is_none_or(|caller| caller.tenant() == agent.tenant());
        // What a gateway says it saw is its word alone, and reaches no other tenant.
        if !signed && !own {
            app.limits.nobody(self.address)?;
            return Err(not_found().into());
        }
        let reporter = self.reporter(app);
        if let Err(denied) = agent.recheck(app.now()) {
            // It costs no memory, so it may come again, and is nobody's doing.
            if signed && !own {
                app.limits.nobody(self.address)?;
                return Err(Refused::of(&agent)(refusal(&denied)));
            }
            count(app, &agent).map_err(Refused::of(&agent))?;
            // Unless what is done with it counts all the same: then it must not come again.
            let counts = has_ended(app, &agent, denied.kind());
            let proved = !signed || counts && shown.spend(&app.gateway.nonces, app.now()).is_ok();
            let attribution = if proved { Attribution::Possession } else { Attribution::Asserted };
            let nonce = nonce.filter(|_| proved);
            return Ok(Identified { agent, attribution, is_shown: true, reporter, nonce });
        }
        count(app, &agent).map_err(Refused::of(&agent))?;
        let agent = shown.spend(&app.gateway.nonces, app.now()).map_err(|denied| refusal(&denied))?;
        let attribution = if own { Attribution::Possession } else { Attribution::Asserted };
        Ok(Identified { agent, attribution, is_shown: true, reporter, nonce })
    }

    fn named(&self) -> Option<Serial> {
        self.headers.get(SERIAL_HEADER)?.to_str().ok()?.parse().ok()
    }

    // Under a flag that says insecure: nothing is shown, so nothing counts against the agent.
    async fn by_serial_only(&self, app: &App, serial: Option<Serial>) -> Result<Identified, Refused> {
        let serial = serial.ok_or_else(not_found)?;
        let found = app.kakunin.find(&serial).await.map_err(|_| not_found())?;
        if self.relayed_by.as_ref().is_some_and(|caller| *caller.tenant() != found.tenant) {
            app.limits.nobody(self.address)?;
            return Err(not_found().into());
        }
        let agent =
            app.gateway.verifier.identify(&[found.der], app.now()).map_err(|denied| refusal(&denied))?;
        count(app, &agent)?;
        let attribution = Attribution::Asserted;
        Ok(Identified { agent, attribution, is_shown: false, reporter: self.reporter(app), nonce: None })
    }

    // Once a day and serial number; the deployment makes sure of it, this only keeps it from being asked. A gateway
    // tells its own tenant: another's log is not for it to write to.
    async fn alert(&self, app: &App, serial: &Serial) -> Result<(), ApiError> {
        let today = app.now().millis() / DAY;
        if app.gateway.alerted.get(serial) == Some(today) {
            return Ok(());
        }
        if let Some(caller) = &self.relayed_by {
            match app.kakunin.find(serial).await {
                Ok(found) if found.tenant == *caller.tenant() => {}
                Ok(_) | Err(kakunin_core::service::Error::NotFound(_)) => return Ok(()),
                Err(error) => return Err(ApiError::from(error).at_gateway()),
            }
        }
        match app.kakunin.suspect_impersonation(serial).await {
            Ok(_) => app.gateway.alerted.insert(*serial, today),
            // A serial number that no certificate has is nobody's.
            Err(kakunin_core::service::Error::NotFound(_)) => {}
            // Whoever asks is refused all the same.
            Err(kakunin_core::service::Error::QueueFull) => {}
            Err(kakunin_core::service::Error::Store(StoreError::Full)) => _ = STORAGE_REFUSED.count(),
            Err(error) => return Err(ApiError::from(error).at_gateway()),
        }
        Ok(())
    }
}

/// Whether a certificate that does not stand was replaced or ran out, and not taken away or held.
fn has_ended(app: &App, agent: &VerifiedAgent, code: Code) -> bool {
    let reason = || app.kakunin.revocations().reason(agent.issuer(), agent.serial());
    code == Code::AgentExpired || matches!(reason(), Ok(Some(Reason::Superseded)))
}

fn not_found() -> ApiError {
    ApiError::gateway(403, "cert_not_found", "no certificate has this serial number")
}

const fn suspicious(code: Code) -> bool {
    matches!(
        code,
        Code::PossessionMissing
            | Code::PossessionInvalid
            | Code::PossessionMisdirected
            | Code::PossessionReplayed
    )
}

fn header_map(headers: &serde_json::Value) -> Result<HeaderMap, ApiError> {
    let sentence = "`headers` maps names in lower case to texts of visible characters, at most 64";
    let invalid = || ApiError::unprocessable("headers_invalid", sentence);
    let members = headers.as_object().filter(|m| m.len() <= 64).ok_or_else(invalid)?;
    let mut map = HeaderMap::new();
    for (name, value) in members {
        // One spelling, so that no field comes twice.
        let name = HeaderName::from_lowercase(name.as_bytes()).map_err(|_| invalid())?;
        let value = value.as_str().and_then(|v| HeaderValue::from_str(v).ok()).ok_or_else(invalid)?;
        map.insert(name, value);
    }
    Ok(map)
}

// The agent chose these names, or could have: one that does not fit keeps no decision from being recorded.
fn note(event: &mut Event, body: &CheckBody) {
    event.tool = body.tool.as_deref().and_then(ShortName::lossy);
    event.correlation = body.correlation.as_deref().and_then(ShortName::lossy);
    event.session = body.session_id.as_deref().and_then(Name::lossy);
}
