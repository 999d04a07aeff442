//! Each request has an identifier, which its answer and the server's log name.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use kakunin_core::id::{SystemEntropy, hex_encode, uuid_v7};
use kakunin_core::time::{Clock, SystemClock};

/// A UUIDv7 without hyphens.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

pub(crate) async fn name(mut request: Request<Body>, next: Next) -> Response {
    let id = uuid_v7(SystemClock.now(), &SystemEntropy).map(|id| hex_encode(&id)).unwrap_or_default();
    request.extensions_mut().insert(RequestId(id.into()));
    next.run(request).await
}
