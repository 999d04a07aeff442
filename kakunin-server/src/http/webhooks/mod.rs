//! Webhooks of a tenant.
//!
//! | file | has |
//! |---|---|
//! | `endpoints.rs` | endpoints: made, shown, changed, given another secret, taken away |
//! | `deliveries.rs` | pings, what became of deliveries, and one of them once more |

pub(crate) mod deliveries;
pub(crate) mod endpoints;

use kakunin_core::id::WebhookId;

use super::error::ApiError;

/// The endpoint that a path names; what is no identifier names none.
fn webhook_id(text: &str) -> Result<WebhookId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("webhook"))
}
