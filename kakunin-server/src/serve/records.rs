//! What happens to agents, as lines of the log.

use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Body;
use kakunin_core::log::record::{Approval, Control, Evidence, InCommon, Record, Resolved, Tripped};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::Band;
use kakunin_core::service::{RecordListener, ScoresDiffer};

use crate::http::{IDENTITIES_HELD, IDENTITIES_TAKEN, RequestId, current_request};

/// Writes a line for each record that says what became of an agent, or of who may call. There is one for each that was decided,
/// whoever or whatever decided it; each stands in the audit log, too, so that they come no faster than that grows.
#[derive(Debug)]
pub(super) struct Lines;

impl RecordListener for Lines {
    fn recorded(&self, log: &LogId, index: u64, record: &Record) {
        if let Body::Control(control) = &record.body {
            count(control);
            let request = current_request();
            Line { log, index, record, request_id: request.as_ref().map(RequestId::as_str) }.write(control);
        }
    }

    fn scores_differ(&self, log: &LogId, differing: &ScoresDiffer) {
        let ScoresDiffer { count, first, recorded, folded } = differing;
        tracing::warn!(
            tenant = %log, count, first, %recorded, %folded,
            "scores on record are not those that come out now: the risk model or its prior is another one since; decisions stand, and those to come go by the new scores"
        );
    }
}

struct Line<'r> {
    log: &'r LogId,
    index: u64,
    record: &'r Record,
    /// The request that it was recorded for, if one was.
    request_id: Option<&'r str>,
}

/// A line with what all have in common.
macro_rules! tell {
    ($level:ident, $line:expr, $($rest:tt)+) => {{
        let Line { log, index, record, request_id } = $line;
        let tenant = tracing::field::display(log);
        let agent = record.agent.map(tracing::field::display);
        let serial = record.serial.map(tracing::field::display);
        let by = record.by.as_ref().map(|by| by.as_str());
        tracing::$level!(tenant, agent, serial, by, request_id, index, $($rest)+)
    }};
}

impl Line<'_> {
    fn write(&self, control: &Control) {
        match control {
            Control::CertificateIssued { facts, renewal, .. } => {
                let (expires, renewal) = (facts.not_after, renewal.is_some());
                tell!(info, self, %expires, renewal, "certificate issued");
            }
            Control::CertificateRevoked { revocation, evidence, .. } => {
                self.revoked(revocation.cause, evidence.as_ref())
            }
            Control::CertificateHeld { hold, braked, .. } => {
                let score = braked.as_ref().map(|braked| score(&braked.evidence));
                tell!(warn, self, cause = hold.cause.as_str(), score, "certificate held");
            }
            Control::CertificateReleased { .. } => tell!(info, self, "certificate released"),
            Control::CertificateExpiring { not_after } => {
                tell!(warn, self, expires = %not_after, "certificate ends soon");
            }
            Control::BandChanged { from, to, evidence } => self.moved(*from, *to, evidence),
            Control::AgentHalted { halt, .. } => {
                tell!(warn, self, cause = halt.cause.as_str(), "agent halted");
            }
            Control::AgentReinstated { .. } => tell!(warn, self, "agent reinstated"),
            Control::PayloadErased { from, to, .. } => {
                tell!(warn, self, %from, %to, "payloads of an agent's events erased");
            }
            Control::AgentRetired => tell!(info, self, "agent retired"),
            Control::PossessionMissing => {
                tell!(warn, self, "somebody shows an agent's certificate without its key");
            }
            Control::SelfRenewalRefused => tell!(warn, self, "agent renews itself too often"),
            other => self.write_own(other),
        }
    }

    /// What became of a tenant itself, and not of an agent.
    fn write_own(&self, control: &Control) {
        match control {
            Control::BreakerTripped(tripped) => self.tripped(tripped),
            Control::BreakerResolved(Resolved { confirmed, .. }) => {
                tell!(warn, self, confirmed, "the breaker is closed");
            }
            Control::PolicyChanged(change) => {
                tell!(warn, self, mode = change.after.mode.as_str(), "policy changed");
            }
            Control::RiskVerdict(given) => {
                tell!(warn, self, verdict = given.verdict.as_str(), "verdict on an agent's score");
            }
            Control::ApprovalRequested(request) => {
                tell!(warn, self, approval = %request.id, "an order waits for a second person");
            }
            Control::ApprovalDecided(Approval { id, approved, .. }) => {
                tell!(info, self, approval = %id, approved, "an order that waited was decided");
            }
            // Where it goes may be a secret of its receiver's.
            Control::WebhookCreated(facts) => tell!(info, self, webhook = %facts.id, "webhook made"),
            Control::WebhookChanged(facts) => {
                let active = facts.is_active();
                tell!(info, self, webhook = %facts.id, active, "webhook changed");
            }
            Control::WebhookDeleted { id } => tell!(info, self, webhook = %id, "webhook taken away"),
            Control::WebhookDisabled { id, why } => {
                tell!(warn, self, webhook = %id, why = why.as_str(), "webhook disabled");
            }
            Control::ApiKeyCreated(facts) => {
                let (key, role) = (facts.id.to_string(), facts.role.as_str());
                tell!(info, self, key, role, of = %facts.tenant, "API key made");
            }
            Control::ApiKeyRevoked { id } => tell!(info, self, key = %id, "API key revoked"),
            Control::VisibilityChanged { tenant, visibility } => {
                tell!(info, self, of = %tenant, visibility = visibility.as_str(), "visibility of revocations changed");
            }
            _ => {}
        }
    }

    /// Once, when it trips. What the agents have in common is named in the record, and by the API.
    fn tripped(&self, tripped: &Tripped) {
        match &tripped.in_common {
            InCommon::Target { agents, .. } => tell!(
                warn,
                self,
                agents,
                "the breaker tripped: agents fail at one target, and further automatic revocations are holds until a person releases or confirms them (kakunin policy breaker)"
            ),
            InCommon::Revocations { count, allowed } => tell!(
                warn,
                self,
                count,
                allowed,
                "the breaker tripped: too many identities were lost, and further automatic revocations are holds until a person releases or confirms them (kakunin policy breaker)"
            ),
        }
    }

    /// What nobody asked for, or what nobody likes to see, is a warning.
    fn revoked(&self, cause: Cause, evidence: Option<&Evidence>) {
        let score = evidence.map(score);
        match cause {
            Cause::Superseded | Cause::Retired => {
                tell!(info, self, cause = cause.as_str(), "certificate revoked");
            }
            _ => tell!(warn, self, cause = cause.as_str(), score, "certificate revoked"),
        }
    }

    fn moved(&self, from: Band, to: Band, evidence: &Evidence) {
        let (score, was, is) = (score(evidence), from.as_str(), to.as_str());
        if to >= Band::Warning && to > from {
            tell!(warn, self, from = was, to = is, score, "risk band changed");
        } else {
            tell!(info, self, from = was, to = is, score, "risk band changed");
        }
    }
}

fn count(control: &Control) {
    match control {
        Control::CertificateRevoked { evidence: Some(_), .. } => IDENTITIES_TAKEN.count(),
        Control::CertificateHeld { braked: Some(_), .. } => IDENTITIES_HELD.count(),
        _ => return,
    };
}

fn score(evidence: &Evidence) -> f64 {
    f64::from(evidence.score.millionths()) / 1e6
}
