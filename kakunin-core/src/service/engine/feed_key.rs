//! The key that cosigns revocation logs.

use std::sync::Arc;

use crate::issue::IssueError;
use crate::key::Signer;
use crate::log::cosignature::{self, CosignerKey};
use crate::service::error::Error;
use crate::time::UnixTime;
use crate::x509::ca::AssembleError;

/// The feed key: its word about revocation logs is what followers believe.
#[derive(Debug)]
pub(crate) struct FeedKey {
    /// As it is on record, to be handed out with the anchors.
    pub(crate) verifier: String,
    pub(crate) key: CosignerKey,
    signer: Arc<dyn Signer>,
}

impl FeedKey {
    pub(crate) fn new(verifier: &str, signer: Arc<dyn Signer>) -> Result<Self, Error> {
        let key = CosignerKey::parse(verifier)?;
        let ours = CosignerKey::new(key.name(), signer.public_key())?;
        if ours.to_string() == key.to_string() {
            Ok(Self { verifier: verifier.to_owned(), key, signer })
        } else {
            Err(Error::Deployment("the feed key is not the one that is on record".into()))
        }
    }

    /// The signature line over a text.
    pub(crate) async fn cosign(&self, text: &str, time: UnixTime) -> Result<String, Error> {
        let signature = self.signer.sign(&cosignature::message(text, time)).await?;
        let line = self.key.signature_line(time, signature.as_bytes());
        if !self.signer.is_in_process() {
            self.key.open(&format!("{text}\n{line}")).map_err(|_| IssueError::from(AssembleError))?;
        }
        Ok(line)
    }
}
