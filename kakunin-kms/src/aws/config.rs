//! What an operator chooses, and the client, built by hand: it reads no profile, no environment and no
//! instance metadata.

use std::fmt;
use std::time::Duration;

use aws_sdk_kms::Client;
pub use aws_sdk_kms::config::Credentials;
use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_kms::config::timeout::TimeoutConfig;
use aws_sdk_kms::config::{BehaviorVersion, Config, ProvideCredentials, Region, SharedCredentialsProvider};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

/// How to reach AWS KMS, and how keys are made there.
#[derive(Clone)]
#[non_exhaustive]
pub struct AwsConfig {
    /// Region, such as `eu-west-1`.
    pub region: String,
    /// Another address than the region's, such as an interface endpoint of a VPC.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: SharedCredentialsProvider,
    /// Name of the deployment: part of the aliases, and a tag, so that several share an account. Letters,
    /// digits, `-` and `_`.
    pub deployment: String,
    /// Key policy (JSON) of new keys, instead of the account's default.
    pub key_policy: Option<String>,
    /// Days between retiring a key and its deletion, 7 to 30.
    pub deletion_days: u8,
    /// Calls a second.
    pub quotas: Quotas,
    /// The longest one attempt of a call may take.
    pub timeout: Duration,
}

/// Calls a second that this process makes, at most; retries count. Those of several processes add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// `CreateKey`.
    pub create: u32,
    /// `CreateAlias`, `EnableKey`, `DisableKey`, `ScheduleKeyDeletion`.
    pub manage: u32,
    /// `DescribeKey`, `GetPublicKey`, `ListKeys`, `ListAliases`, `ListResourceTags`; of a seal, `Encrypt` and `Decrypt`.
    pub read: u32,
    /// `Sign` with RSA keys.
    pub sign_rsa: u32,
    /// `Sign` with P-256 and Ed25519 keys.
    pub sign_ecc: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { create: 5, manage: 5, read: 100, sign_rsa: 500, sign_ecc: 300 }
    }
}

impl AwsConfig {
    /// With these credentials; everything else as most need it.
    #[must_use]
    pub fn new(
        region: impl Into<String>,
        deployment: impl Into<String>,
        credentials: impl ProvideCredentials + 'static,
    ) -> Self {
        Self {
            region: region.into(),
            endpoint: None,
            credentials: SharedCredentialsProvider::new(credentials),
            deployment: deployment.into(),
            key_policy: None,
            deletion_days: 30,
            quotas: Quotas::default(),
            timeout: Duration::from_secs(5),
        }
    }

    /// With credentials from where AWS keeps them: environment, profile, web identity, container, instance.
    #[cfg(feature = "aws-config")]
    pub async fn from_environment(region: impl Into<String>, deployment: impl Into<String>) -> Self {
        let region = region.into();
        let chain = aws_config::default_provider::credentials::DefaultCredentialsChain::builder()
            .region(Region::new(region.clone()))
            .configure(aws_config::provider_config::ProviderConfig::default().with_http_client(http_client()))
            .build()
            .await;
        Self::new(region, deployment, chain)
    }

    pub(super) fn client(&self) -> Client {
        // Attempts are counted against the quota, so they are made here and not by the SDK.
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .credentials_provider(self.credentials.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(self.timeout).build())
            .http_client(http_client());
        config.set_endpoint_url(self.endpoint.clone());
        Client::from_conf(config.build())
    }
}

fn http_client() -> aws_sdk_kms::config::SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .build_https()
}

impl fmt::Debug for AwsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsConfig({} {})", self.region, self.deployment)
    }
}
