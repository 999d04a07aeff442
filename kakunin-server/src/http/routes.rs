//! Every route, once. Method, path, parameters and who may ask stand beside the handler (`utoipa::path`). The router, the
//! description of the API, and what bodies and queries are taken are all made of that.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, any, on};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::SecurityRequirement;

use super::app::App;
use super::{
    access, agents, approvals, audit, breaker, certificates, certify, crl, enrol, erasures, event_batch,
    event_lines, events, explanation, feed, gateway, health, inbox, inbox_stream, message, orders, pki,
    policy, revoke, risk, verdicts, verify, webhooks,
};

/// Most octets of a body from who shows no account: a message to verify, a request for a certificate, one to check.
const MAX_ANONYMOUS_BODY: usize = 128 * 1024;

/// Where gateways ask for their clients.
pub(super) const FORWARDED: &str = "/api/v1/gateway/auth";

/// What the description says beside the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "kakunin",
        description = "Machine identity for AI agents: certificates that say what an agent may do, taken away when it misbehaves.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    security(("api_key" = [])),
)]
struct Api;

/// The routes, and what is said of them.
pub(super) struct Routes {
    pub(super) router: Router<App>,
    pub(super) described: utoipa::openapi::OpenApi,
}

/// Adds handlers, each where it says that it belongs.
macro_rules! add {
    ($to:ident: $($module:ident $(:: $part:ident)+),+ $(,)?) => {$({
        #[derive(OpenApi)]
        #[openapi(paths($module $(:: $part)+))]
        struct Described;
        $to.add(Described::openapi(), |filter| on(filter, $module $(:: $part)+));
    })+};
}

/// All of them but the description's own.
pub(super) fn all() -> Routes {
    let mut all = Routes { router: Router::new(), described: Api::openapi() };
    add!(all: agents::list, agents::create, agents::get, agents::patch, agents::retire);
    add!(all: certify::certify, certify::renew, orders::halt, orders::reinstate, orders::sign, risk::risk, explanation::explain);
    add!(all: certificates::get, revoke::revoke, revoke::hold, revoke::release);
    add!(all: enrol::create_token, enrol::grant, enrol::enrol, enrol::renew);
    add!(all: events::list, events::create, event_batch::batch, event_lines::stream, audit::log);
    add!(all: inbox::list, inbox::mark, inbox::mark_up_to, inbox_stream::stream);
    add!(all: access::create_tenant, access::get_tenant, access::patch_tenant);
    add!(all: access::list_keys, access::create_key, access::revoke_key);
    add!(all: policy::get, policy::put, breaker::get, breaker::release, breaker::confirm);
    add!(all: erasures::erase, verdicts::judge, approvals::list, approvals::approve, approvals::reject);
    add!(all: webhooks::endpoints::create, webhooks::endpoints::list, webhooks::endpoints::get);
    add!(all: webhooks::endpoints::patch, webhooks::endpoints::rotate, webhooks::endpoints::delete);
    add!(all: webhooks::deliveries::ping, webhooks::deliveries::list, webhooks::deliveries::redeliver);
    add!(all: verify::verify, message::verify);
    add!(all: crl::full, crl::chain, crl::shard, feed::page, feed::snapshot, feed::stream);
    add!(all: pki::authorities, pki::chain, pki::certificate, pki::bundle);
    add!(all: gateway::check::check, gateway::forward::authorize);
    // Method and what follows the path are those of a gateway's client.
    for below in ["", "/", "/{*path}"] {
        let path = format!("{FORWARDED}{below}");
        all.router = all.router.route(&path, any(gateway::forward::authorize));
    }
    add!(all: health::live, health::ready, health::metrics);
    all
}

impl Routes {
    fn add(
        &mut self,
        described: utoipa::openapi::OpenApi,
        handler: impl Fn(MethodFilter) -> MethodRouter<App>,
    ) {
        for (path, item) in &described.paths.paths {
            for (method, operation) in operations(item) {
                let Ok(filter) = MethodFilter::try_from(method) else { continue };
                let mut route = handler(filter);
                if operation.request_body.is_some() && is_for_anybody(operation) {
                    route = route.layer(DefaultBodyLimit::max(MAX_ANONYMOUS_BODY));
                }
                self.router = std::mem::take(&mut self.router).route(path, route);
            }
        }
        self.described.merge(described);
    }
}

/// What is done at one path, by method.
pub(super) fn operations(item: &PathItem) -> impl Iterator<Item = (Method, &Operation)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn is_for_anybody(operation: &Operation) -> bool {
    let nobody = SecurityRequirement::default();
    operation.security.as_ref().is_some_and(|any_of| any_of.contains(&nobody))
}

/// Whether something can be asked for in the query.
pub(super) fn takes_query(operation: &Operation) -> bool {
    let in_query =
        |parameter: &utoipa::openapi::path::Parameter| parameter.parameter_in == ParameterIn::Query;
    operation.parameters.as_ref().is_some_and(|all| all.iter().any(in_query))
}
