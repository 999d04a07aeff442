//! The states that an agent goes through.

use crate::words::words;

words! {
    /// Where an agent stands. A revoked, halted or held agent is suspended; only the release of a hold, or an order that
    /// names it and says why ([`Tenant::reinstate`](crate::service::Tenant::reinstate)), ends that.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    pub enum AgentState {
        /// Registered or reinstated, without a certificate.
        Pending = "pending",
        /// Holds a certificate that is accepted.
        Active = "active",
        /// Its certificate is revoked or held.
        Suspended = "suspended",
        /// Gone for good.
        Retired = "retired",
    }
}
