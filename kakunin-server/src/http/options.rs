//! How the API behaves, beyond what the deployment decides.

use std::num::NonZeroU32;

use kakunin_verify::dry_run::DryRun;
use kakunin_verify::possession::Authority;

use super::gateway::GatewayProxy;
use super::limits::{DEFAULT_ANONYMOUS_RATE, DEFAULT_KEY_RATE};
use super::peer::Network;

/// Subscribers of the revocation feed at once, unless configured otherwise.
pub const DEFAULT_FEED_SUBSCRIBERS: usize = 1_000;

/// Subscribers from one address, unless configured otherwise.
pub const DEFAULT_FEED_PER_ADDRESS: usize = 100;

/// How the API behaves, beyond what the deployment decides.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Proxies whose word about the addresses of clients is taken, and about nothing else.
    pub trusted_proxies: Vec<Network>,
    /// Gateways that ask for those who connect to them, and how they hand over certificates.
    pub gateways: Vec<GatewayProxy>,
    /// Names under which agents reach this server, beside the public URL's: for whom signed requests may be.
    pub authorities: Vec<Authority>,
    /// Whether no process served this deployment before: then what is signed in the second in which this one starts was
    /// not used up by one that is gone.
    pub new_deployment: bool,
    /// Whether the gateway check takes a bare serial number for an identity, which proves nothing.
    pub insecure_serial_only: bool,
    /// Whose requests, and which, the gateway check lets through whatever it decides.
    pub insecure_dry_run: DryRun,
    /// Requests a second of one key.
    pub key_rate: NonZeroU32,
    /// Requests a second of one address (IPv6: /64) for what takes no account. What costs more than a look-up
    /// has a limit of its own, a part of it.
    pub anonymous_rate: NonZeroU32,
    /// Subscribers of the revocation feed at once.
    pub feed_subscribers: usize,
    /// Of these, how many from one address (IPv6: /64) that shows no API key.
    pub feed_subscribers_per_address: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            gateways: Vec::new(),
            authorities: Vec::new(),
            new_deployment: false,
            insecure_serial_only: false,
            insecure_dry_run: DryRun::new(),
            key_rate: DEFAULT_KEY_RATE,
            anonymous_rate: DEFAULT_ANONYMOUS_RATE,
            feed_subscribers: DEFAULT_FEED_SUBSCRIBERS,
            feed_subscribers_per_address: DEFAULT_FEED_PER_ADDRESS,
        }
    }
}
