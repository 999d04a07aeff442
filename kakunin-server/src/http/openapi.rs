//! The description of the API, from the handlers themselves.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{access, agents, audit, certificates, events, gateway, health, pki, risk, verify};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "kakunin",
        description = "Machine identity for AI agents: certificates that say what an agent may do, taken away when it misbehaves.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    paths(
        agents::create, agents::list, agents::get, agents::patch, agents::retire,
        certificates::certify, certificates::renew, certificates::halt, certificates::sign,
        certificates::revoke, certificates::hold, certificates::release,
        events::create, events::batch, events::list, risk::risk, risk::notifications,
        gateway::check, audit::log,
        access::create_tenant, access::create_key, access::list_keys, access::revoke_key,
        verify::verify, pki::full, pki::shard, pki::authorities, pki::chain, pki::certificate, pki::bundle,
        health::live, health::ready,
    ),
    modifiers(&Key),
    security(("api_key" = [])),
)]
struct Description;

struct Key;

impl Modify for Key {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("kak_live_...").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI 3.1 document of this version.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
