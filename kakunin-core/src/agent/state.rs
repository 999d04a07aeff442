//! The states that an agent goes through.

/// Where an agent stands. A revoked, halted or held agent is suspended; only the release of a hold, or an order that
/// names it and says why ([`Kakunin::reinstate`](crate::service::Kakunin::reinstate)), ends that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// Registered or reinstated, without a certificate.
    Pending,
    /// Holds a certificate that is accepted.
    Active,
    /// Its certificate is revoked or held.
    Suspended,
    /// Gone for good.
    Retired,
}

impl core::fmt::Display for AgentState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        })
    }
}
