//! The client: its keys, and the runtime that its calls run on.

use std::fmt;
use std::sync::Arc;

use kakunin_core::key::SignError;
use tokio::runtime::Handle;

use super::config::AwsConfig;
use super::keys::Keys;

/// Keys of a deployment in one account and region of AWS KMS.
#[derive(Clone)]
pub struct AwsKeys {
    pub(super) keys: Arc<Keys>,
    runtime: Handle,
}

impl AwsKeys {
    /// A client. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// [`SignError::Locked`] outside a Tokio runtime, and for a deployment's name that cannot be part of an
    /// alias.
    pub fn new(config: AwsConfig) -> Result<Self, SignError> {
        let runtime = Handle::try_current()
            .map_err(|_| SignError::Locked("AWS KMS needs a Tokio runtime".to_owned()))?;
        Ok(Self { keys: Arc::new(Keys::new(config)?), runtime })
    }

    /// Does the work on the runtime, to its end also if the caller goes away: a key that was made gets its
    /// alias.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl Future<Output = Result<T, SignError>> + Send + 'static,
    ) -> Result<T, SignError> {
        let done = self.runtime.spawn(work).await;
        done.map_err(|error| SignError::unavailable(operation, key, error))?
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKeys({})", self.keys.deployment())
    }
}
