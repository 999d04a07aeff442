//! A seal that is a symmetric key of AWS KMS: `Encrypt` and `Decrypt`, and the context as encryption context.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_kms::primitives::Blob;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::calls::{Answer, Calls, Failure, Quota};
use super::config::AwsConfig;
use crate::seal::{SEALED_LIMIT, Seal, SealError, takes};

/// Name of the pair of the encryption context; its value is the context, with octets as `%xx`.
const CONTEXT: &str = "kakunin";

/// A symmetric key of AWS KMS that seals. It never leaves the service; every call is in the account's trail, with
/// what it was for. Secrets pass through buffers of the client, which does not wipe them.
#[derive(Clone)]
pub struct KmsSeal {
    calls: Arc<Calls>,
    key: Arc<str>,
    runtime: Handle,
}

impl KmsSeal {
    /// A client for this key, by its identifier, ARN or alias. Of the configuration only region, endpoint,
    /// credentials, timeout and [`read`](super::Quotas::read) count. Nothing is asked of the service yet.
    ///
    /// An alias that is given another key does not open what the one before sealed: rewrap first.
    ///
    /// # Errors
    /// [`SealError::Unusable`] outside a Tokio runtime, and without a key.
    pub fn new(config: &AwsConfig, key: &str) -> Result<Self, SealError> {
        let unusable = |why: &str| SealError::Unusable(why.to_owned());
        let runtime = Handle::try_current().map_err(|_| unusable("AWS KMS needs a Tokio runtime"))?;
        if key.is_empty() {
            return Err(unusable("name a key of AWS KMS"));
        }
        let calls = Arc::new(Calls::new(config.client(), config.quotas));
        Ok(Self { calls, key: key.into(), runtime })
    }

    /// Does the work on the runtime that the client belongs to.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<Answer<T>, Failure>> + Send + 'static,
    ) -> Result<T, SealError> {
        let done = self.runtime.spawn(work).await.map_err(|e| SealError::Unavailable(e.into()))?;
        done.map(|answer| answer.value).map_err(refused)
    }
}

#[async_trait]
impl Seal for KmsSeal {
    async fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        takes(secret)?;
        let (calls, key) = (self.calls.clone(), self.key.clone());
        let (context, secret) = (text(context), Zeroizing::new(secret.to_vec()));
        let answer = self.run(async move {
            let encrypt = |kms: &aws_sdk_kms::Client| {
                let call = kms.encrypt().key_id(&*key).encryption_context(CONTEXT, &context);
                call.plaintext(Blob::new(&**secret)).send()
            };
            calls.call(Quota::Read, encrypt).await
        });
        let sealed = answer.await?.ciphertext_blob.map(Blob::into_inner).unwrap_or_default();
        if sealed.is_empty() {
            return Err(SealError::Unavailable("the answer has nothing sealed".into()));
        }
        Ok(sealed)
    }

    async fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        // The service would call the request malformed, and not the sealed.
        if sealed.is_empty() || sealed.len() > SEALED_LIMIT {
            return Err(SealError::Wrong);
        }
        let (calls, key) = (self.calls.clone(), self.key.clone());
        let (context, sealed) = (text(context), Blob::new(sealed));
        let answer = self.run(async move {
            let decrypt = |kms: &aws_sdk_kms::Client| {
                let call = kms.decrypt().key_id(&*key).encryption_context(CONTEXT, &context);
                call.ciphertext_blob(sealed.clone()).send()
            };
            calls.call(Quota::Read, decrypt).await
        });
        Ok(Zeroizing::new(answer.await?.plaintext.map(Blob::into_inner).unwrap_or_default()))
    }
}

/// Who must act: whoever gives rights, whoever configures, or nobody, later.
fn refused(failure: Failure) -> SealError {
    match failure.code() {
        Some("InvalidCiphertextException" | "IncorrectKeyException") => SealError::Wrong,
        Some(
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "ExpiredTokenException"
            | "NotAuthorized"
            | "InvalidGrantTokenException",
        ) => SealError::Denied(failure.into_source().to_string()),
        Some(
            "NotFoundException"
            | "DisabledException"
            | "InvalidArnException"
            | "InvalidKeyUsageException"
            | "KMSInvalidStateException"
            | "UnsupportedOperationException"
            | "ValidationException",
        ) => SealError::Unusable(failure.into_source().to_string()),
        _ => SealError::Unavailable(failure.into_source()),
    }
}

/// The context as text that a person can read in the trail; two contexts never have one text.
fn text(context: &[u8]) -> String {
    use std::fmt::Write;
    context.iter().fold(String::new(), |mut text, octet| {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b':' => {
                text.push(char::from(*octet));
            }
            // Writing to a string does not fail.
            other => _ = write!(text, "%{other:02x}"),
        }
        text
    })
}

impl fmt::Debug for KmsSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KmsSeal({})", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn contexts_are_told_apart() {
        assert_eq!(text(b"kakunin:1:seal/0a"), "kakunin:1:seal/0a");
        assert_eq!(text(b"%41"), "%2541");
        assert_eq!(text(&[0, b'A', 0xff]), "%00A%ff");
    }
}
