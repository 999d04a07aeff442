//! The description of the API, from the handlers themselves.

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::error::ApiError;
use super::validator::{tag_of, validated};
use super::{anonymous, routes, shared};

/// Where it is.
pub(super) const PATH: &str = "/api/v1/openapi.json";

/// The OpenAPI 3.1 document of this version.
#[must_use]
pub fn document() -> Value {
    // What attributes cannot say is put in here.
    let mut document = serde_json::to_value(routes::all().described).unwrap_or_default();
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
        "risk": agent("getRisk"), "explanation": agent("explainRisk"), "halt": agent("haltAgent"), "reinstate": agent("reinstateAgent"), "retire": agent("retireAgent"),
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

/// Answers with it.
pub(super) async fn serve(_: anonymous::File, headers: HeaderMap) -> Result<Response, ApiError> {
    static RENDERED: LazyLock<(Bytes, String)> = LazyLock::new(|| {
        let octets = Bytes::from(document().to_string());
        let tag = tag_of(&octets);
        (octets, tag)
    });
    let (octets, tag) = &*RENDERED;
    let json = HeaderValue::from_static("application/json");
    let render = || Ok::<_, ApiError>(shared::answer(octets.clone(), json));
    let mut response = validated(&headers, tag, None, render)?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    Ok(response)
}
