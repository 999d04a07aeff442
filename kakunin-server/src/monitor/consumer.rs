//! One that relies on certificates.

use async_trait::async_trait;

use super::canary::{Api, Canary};
use super::error::MonitorError;

/// One that relies on certificates. A new kind is one more of these, and one more entry in [`all`](super::consumers::all).
#[async_trait]
pub(super) trait Consumer: Send + Sync {
    /// As the report calls it.
    fn name(&self) -> String;

    /// Whether it refuses the canary, or shows that it is revoked.
    async fn refuses(&self, api: &Api, canary: &Canary) -> Result<bool, MonitorError>;
}
