//! What is around a store, whichever it is: a guard, webhooks, and lines of the log; and its logs, for who reads them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use kakunin_core::service::Parts;
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::guard::{Guard, GuardFile};
use kakunin_core::store::heads::Heads;
use kakunin_core::webhook::{self, HttpWebhooks, WebhookTransport};

use super::options::{ServeError, ServeOptions, WebhookOptions};
use super::records::Lines;
use crate::pem_file;

/// Parts with what is outside of their store.
pub(super) fn surrounded(
    options: &ServeOptions,
    guard: Option<&Path>,
    parts: Parts,
) -> Result<Parts, ServeError> {
    let webhooks: Option<Arc<dyn WebhookTransport>> = Some(Arc::new(webhooks(&options.webhooks)?));
    let file = |path: &Path| -> Arc<dyn Guard> { Arc::new(GuardFile::new(path.to_owned())) };
    let guard = guard.map(file);
    let shadow = options.shadow_model.as_ref().map(|model| model.0.clone());
    let model = options.default_model.0.clone();
    Ok(Parts { guard, listener: Arc::new(Lines), webhooks, model, shadow, ..parts })
}

fn webhooks(options: &WebhookOptions) -> Result<HttpWebhooks, ServeError> {
    let roots = match &options.trust {
        Some(path) => {
            let octets = fs::read(path).map_err(|source| ServeError::File { path: path.clone(), source })?;
            let wrong = |why| ServeError::WebhookTrust { path: path.clone(), why };
            pem_file::certificates(path, &octets).map_err(wrong)?
        }
        None => Vec::new(),
    };
    let roots: Vec<_> = roots.iter().map(|root| root.to_vec()).collect();
    let guard = webhook::Guard { allow: options.allow.clone(), http: options.insecure_http };
    Ok(HttpWebhooks::new(guard, &roots)?)
}

/// The logs of a deployment that is there, for reading beside its servers.
pub(crate) struct Logs {
    /// As they lie there.
    pub(crate) raw: Arc<dyn AuditSink>,
    /// Decrypted.
    pub(crate) sink: Arc<dyn AuditSink>,
    /// The heads that they had, as far as they are kept.
    pub(crate) heads: Arc<dyn Heads>,
}
