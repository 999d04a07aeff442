//! Calls that are kept under the quota, retried while that is of use, and not made while the service is down.

use std::time::{Duration, Instant};

use aws_sdk_kms::Client;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use kakunin_core::error::BoxError;
use kakunin_core::key::{KeyAlgorithm, SignError};

use super::breaker::Breaker;
use super::config::Quotas;
use super::pace::Pacer;

/// Times a call is made before its failure is the caller's.
const ATTEMPTS: u32 = 4;
/// The first wait between attempts; each is twice the one before, less a random part.
const WAIT: Duration = Duration::from_millis(100);
/// The longest a call waits for its turn under the quota.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which of the quotas a call counts against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Quota {
    Create,
    Manage,
    Read,
    Rsa,
    Ecc,
}

impl Quota {
    pub(super) const fn of(algorithm: KeyAlgorithm) -> Self {
        match algorithm {
            KeyAlgorithm::P256 | KeyAlgorithm::Ed25519 => Self::Ecc,
            _ => Self::Rsa,
        }
    }
}

/// Why a call has no answer.
pub(super) struct Failure {
    /// The service's word for it, if it answered.
    code: Option<String>,
    source: BoxError,
}

impl Failure {
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    #[cfg(feature = "seal")]
    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    #[cfg(feature = "seal")]
    pub(super) fn into_source(self) -> BoxError {
        self.source
    }

    pub(super) fn into_error(self, operation: &'static str, key: &str) -> SignError {
        SignError::unavailable(operation, key, self.source)
    }
}

/// What a call gave, and whether an earlier attempt may have had an effect that nobody heard of.
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) repeated: bool,
}

#[derive(Debug)]
pub(super) struct Calls {
    client: Client,
    breaker: Breaker,
    pacers: [Pacer; 5],
}

/// What an attempt that failed means for the next.
enum Verdict {
    /// It would fail again.
    Final,
    /// The service is there, and asks for patience.
    Throttled,
    /// The service is not there, or broken.
    Down,
}

impl Calls {
    pub(super) fn new(client: Client, quotas: Quotas) -> Self {
        let Quotas { create, manage, read, sign_rsa, sign_ecc } = quotas;
        let pacers = [create, manage, read, sign_rsa, sign_ecc].map(Pacer::new);
        Self { client, breaker: Breaker::default(), pacers }
    }

    /// Calls the service. Every attempt, not only the first, counts against the quota.
    pub(super) async fn call<T, E, F>(
        &self,
        quota: Quota,
        send: impl Fn(&Client) -> F,
    ) -> Result<Answer<T>, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let mut repeated = false;
        for attempt in 1..=ATTEMPTS {
            self.breaker.enter(Instant::now()).map_err(|wait| refused("the service is down", wait))?;
            self.turn(quota).await?;
            let error = match send(&self.client).await {
                Ok(value) => {
                    self.breaker.answered();
                    return Ok(Answer { value, repeated });
                }
                Err(error) => error,
            };
            let verdict = verdict(&error);
            match verdict {
                Verdict::Down => self.breaker.failed(Instant::now()),
                Verdict::Final | Verdict::Throttled => self.breaker.answered(),
            }
            if matches!(verdict, Verdict::Final) || attempt == ATTEMPTS {
                return Err(Failure { code: error.code().map(str::to_owned), source: said(&error) });
            }
            repeated |= matches!(verdict, Verdict::Down);
            tokio::time::sleep(jittered(WAIT * 2_u32.pow(attempt - 1))).await;
        }
        Err(refused("no attempt was made", Duration::ZERO))
    }

    async fn turn(&self, quota: Quota) -> Result<(), Failure> {
        let [create, manage, read, rsa, ecc] = &self.pacers;
        let pacer = match quota {
            Quota::Create => create,
            Quota::Manage => manage,
            Quota::Read => read,
            Quota::Rsa => rsa,
            Quota::Ecc => ecc,
        };
        match pacer.turn(Instant::now(), PATIENCE) {
            Some(wait) => {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                Ok(())
            }
            None => Err(refused("more calls wait than the configured quota serves", PATIENCE)),
        }
    }
}

fn refused(why: &str, wait: Duration) -> Failure {
    Failure { code: None, source: format!("{why}; not asked, try again in {} ms", wait.as_millis()).into() }
}

fn verdict<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Verdict {
    match (error, error.code()) {
        (_, Some("ThrottlingException" | "LimitExceededException" | "TooManyRequestsException")) => {
            Verdict::Throttled
        }
        // A fresh key may not be known everywhere at once.
        (_, Some("KMSInternalException" | "DependencyTimeoutException" | "KeyUnavailableException")) => {
            Verdict::Down
        }
        (SdkError::ServiceError(answer), _) if answer.raw().status().is_server_error() => Verdict::Down,
        (SdkError::ServiceError(_) | SdkError::ConstructionFailure(_), _) => Verdict::Final,
        _ => Verdict::Down,
    }
}

/// The service's code and words, or what became of the connection. The SDK's own errors print as little as
/// `service error`.
fn said<E>(error: &SdkError<E, HttpResponse>) -> BoxError
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    match error.code() {
        Some(code) => format!("{code}: {}", error.message().unwrap_or("no reason given")).into(),
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                text = format!("{text}: {inner}");
                source = inner.source();
            }
            text.into()
        }
    }
}

/// Between half of it and all of it, so that those who failed together do not return together.
fn jittered(wait: Duration) -> Duration {
    let mut octets = [0; 4];
    // Without randomness they return together.
    let _ = aws_lc_rs::rand::fill(&mut octets);
    let part = f64::from(u32::from_be_bytes(octets)) / f64::from(u32::MAX);
    wait.mul_f64(0.5 + part / 2.0)
}
