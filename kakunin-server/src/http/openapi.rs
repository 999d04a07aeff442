//! The description of the API, from the handlers themselves.

use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{
    access, agents, audit, certificates, certify, crl, enrol, event_batch, events, feed, gateway, health,
    message, orders, pki, revoke, risk, verify,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "kakunin",
        description = "Machine identity for AI agents: certificates that say what an agent may do, taken away when it misbehaves.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT"),
    ),
    paths(
        agents::create, agents::list, agents::get, agents::patch, agents::retire,
        enrol::create_token, enrol::grant, enrol::enrol, enrol::renew,
        certificates::get, certify::certify, certify::renew, orders::halt, orders::reinstate, orders::sign,
        revoke::revoke, revoke::hold, revoke::release,
        events::create, event_batch::batch, events::list, risk::risk, risk::notifications,
        gateway::check::check, gateway::forward::authorize, audit::log,
        access::create_tenant, access::get_tenant, access::patch_tenant, access::create_key, access::list_keys, access::revoke_key,
        verify::verify, message::verify, crl::full, crl::chain, crl::shard, pki::authorities, pki::chain, pki::certificate, pki::bundle,
        feed::page, feed::snapshot, feed::stream,
        health::live, health::ready, health::metrics,
    ),
    security(("api_key" = [])),
)]
struct Description;

/// The OpenAPI 3.1 document of this version.
#[must_use]
pub fn document() -> Value {
    // What attributes cannot say is put in here.
    let mut document = serde_json::to_value(Description::openapi()).unwrap_or_default();
    let mut set = |place: &str, name: &str, value: Value| {
        if let Some(members) = document.pointer_mut(place).and_then(Value::as_object_mut) {
            members.insert(name.to_owned(), value);
        }
    };
    let key = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "kak_live_..." });
    set("/components", "securitySchemes", json!({ "api_key": key }));
    let agent = |operation: &str| link(operation, "id", "$response.body#/data/id");
    let links = json!({
        "certify": agent("certifyAgent"), "get": agent("getAgent"), "update": agent("updateAgent"),
        "risk": agent("getRisk"), "halt": agent("haltAgent"), "reinstate": agent("reinstateAgent"), "retire": agent("retireAgent"),
    });
    set("/paths/~1api~1v1~1agents/post/responses/201", "links", links);
    let certificate =
        |operation: &str, name: &str| link(operation, name, "$response.body#/data/serial_number");
    let links = json!({
        "verify": certificate("verifyCertificate", "serial"), "hold": certificate("holdCertificate", "id"),
        "release": certificate("releaseCertificate", "id"), "revoke": certificate("revokeCertificate", "id"),
    });
    set("/paths/~1api~1v1~1agents~1{id}~1certify/post/responses/201", "links", links);
    let given = |name: &str| json!({ "required": [name], "properties": { name: { "type": "string" } } });
    let either = |one: &str, other: &str| json!({ "anyOf": [given(one), given(other)] });
    let all = json!([either("agent_id", "certificate_serial"), either("action", "action_type")]);
    set("/components/schemas/EventBody", "allOf", all);
    let headers = "/components/schemas/AskedRequest/properties/headers";
    set(headers, "propertyNames", json!({ "pattern": "^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$" }));
    set(headers, "additionalProperties", json!({ "type": "string", "pattern": "^[ -~]*$" }));
    set(headers, "maxProperties", 64.into());
    let paths = document.pointer_mut("/paths").and_then(Value::as_object_mut);
    let operations = paths.into_iter().flat_map(|paths| paths.values_mut().filter_map(Value::as_object_mut));
    operations.flat_map(|all| all.values_mut()).for_each(optional);
    document
}

/// A body that may be left out is one that may not be there; `null` is none.
fn optional(operation: &mut Value) {
    let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema") else { return };
    let object = match schema.get("oneOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([null, object]) if *null == json!({ "type": "null" }) => object.clone(),
        _ => return,
    };
    *schema = object;
}

fn link(operation: &str, parameter: &str, value: &str) -> Value {
    json!({ "operationId": operation, "parameters": { parameter: value } })
}
