//! What is answered where an order waits for a second person: no refusal, and not done.

use kakunin_core::id::ApprovalId;
use serde::Serialize;
use utoipa::ToSchema;

/// An order that waits for a second person.
#[derive(Serialize, ToSchema)]
pub(crate) struct WaitingBody {
    /// What somebody else approves: `POST /api/v1/tenants/{id}/approvals/{approval_id}/approve`.
    #[schema(format = "uuid")]
    approval_id: String,
    /// `waiting`: nothing has changed.
    status: &'static str,
    /// The same as a sentence.
    message: String,
}

impl WaitingBody {
    pub(crate) fn new(id: &ApprovalId, message: &str) -> Self {
        Self { approval_id: id.to_string(), status: "waiting", message: message.to_owned() }
    }
}
