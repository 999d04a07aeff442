//! What a replay did, as a table or as one JSON object.

use core::fmt;

/// Figures of a replay.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// Agents that got a certificate.
    pub agents: u64,
    /// Events recorded.
    pub events: u64,
    /// Events that the engine refused, such as one whose number is far ahead of its stream.
    pub not_recorded: u64,
    /// Seconds it took to issue the certificates.
    pub issuance_seconds: f64,
    /// Events a second, all durable, timed after issuance.
    pub events_per_second: f64,
    /// Calls refused because the certificate's scope does not cover them.
    pub refused_by_scope: u64,
    /// Calls refused because the identity was taken away.
    pub refused_after_revocation: u64,
    /// Items of the inbox that warn.
    pub warnings: u64,
    /// Agents revoked by their score.
    pub revoked: u64,
    /// What the truth in the file makes of it, if it has one.
    pub truth: Option<Verdicts>,
    /// Records in the tenant's log.
    pub log_size: u64,
    /// Root of the log, base64.
    pub log_root: String,
    /// The risk model.
    pub model: String,
}

/// How the revocations compare with what the file says of each agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdicts {
    /// Honest agents.
    pub honest: u64,
    /// Honest agents that were revoked.
    pub honest_revoked: u64,
    /// Compromised agents.
    pub compromised: u64,
    /// Compromised agents that were revoked at or after their onset.
    pub compromised_revoked: u64,
    /// Compromised agents that were revoked before their onset, while still honest.
    pub revoked_before_onset: u64,
}

impl Report {
    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Numbers and texts only: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<34}{value:>22}");
        row("agents", self.agents.to_string())?;
        row("  certificates issued in", format!("{:.1} s", self.issuance_seconds))?;
        row("events", self.events.to_string())?;
        if self.not_recorded > 0 {
            row("  not recorded", self.not_recorded.to_string())?;
        }
        row("  per second, durable", format!("{:.0}", self.events_per_second))?;
        row("refused calls", (self.refused_by_scope + self.refused_after_revocation).to_string())?;
        row("  outside the scope", self.refused_by_scope.to_string())?;
        row("  after revocation", self.refused_after_revocation.to_string())?;
        row("warnings", self.warnings.to_string())?;
        row("agents revoked", self.revoked.to_string())?;
        if let Some(t) = &self.truth {
            let share = |part, of| format!("{part} of {of}");
            row("  honest", share(t.honest_revoked, t.honest))?;
            row("  compromised, after onset", share(t.compromised_revoked, t.compromised))?;
            row("  compromised, before onset", share(t.revoked_before_onset, t.compromised))?;
        }
        row("log size", self.log_size.to_string())?;
        row("risk model", self.model.clone())?;
        write!(f, "log root    {}", self.log_root)
    }
}
