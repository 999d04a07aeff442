//! What the verifiers of a deployment trust, as it grows.

use core::fmt;
use std::sync::Arc;

use crate::id::{TenantId, TrustDomain};
use crate::revoke::LiveRevocations;
use crate::x509::oid;

/// A deployment that makes certificate authorities, as its verifiers follow it.
///
/// * Atomicity: what a generation counts is in the trust that is asked for after it.
/// * Durability: whatever is trusted is on record before anybody has a certificate of it.
/// * Concurrency: any number of calls at once; none waits for I/O.
/// * Idempotence: asking changes nothing.
pub trait TrustSource: fmt::Debug + Send + Sync {
    /// Grows with every authority. Cheap: a verifier asks for it whenever it meets an issuer that it does not know.
    fn generation(&self) -> u64;

    /// All that is trusted now.
    fn trust(&self) -> Trust;

    /// What every issuing CA revoked, always as of now.
    fn revocations(&self) -> Arc<LiveRevocations>;
}

/// What a deployment's verifiers trust.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The trust domain of its roots.
    pub trust_domain: TrustDomain,
    /// The arc under which the agent extensions stand.
    pub arc: oid::Arc,
    /// Its roots, DER.
    pub roots: Vec<Vec<u8>>,
    /// Its issuing CAs, each directly under a root.
    pub issuing: Vec<IssuingCa>,
}

/// An issuing CA that is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuingCa {
    /// Its certificate, DER.
    pub der: Vec<u8>,
    /// The tenant whose agents alone it certifies, if it is bound to one.
    pub tenant: Option<TenantId>,
}
