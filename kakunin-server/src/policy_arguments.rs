//! The arguments of `kakunin policy` and `kakunin verdict`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use kakunin_core::id::{AgentId, ApprovalId, TenantId};
use kakunin_core::policy::{Mode, Verdict};
use kakunin_server::policy::{Change, Order, SECOND};
use serde_json::Number;

/// What a tenant decides over the scores of its agents.
#[derive(Args)]
pub(crate) struct Tenants {
    #[command(subcommand)]
    command: PolicyCommand,
    /// Which tenant.
    #[arg(long, env = "KAKUNIN_TENANT", default_value = "default")]
    pub(crate) tenant: TenantId,
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Prints the policy that is in force.
    Show,
    /// Changes it: to what a file says, by what is said here, or both.
    Set(Box<Set>),
    /// Prints how the breaker stands, and what it holds.
    Breaker,
    /// Releases all that the breaker holds, with the evidence dismissed.
    Release(Reason),
    /// Takes all away for good that the breaker holds.
    Confirm(Reason),
    /// Prints what waits for a second person.
    Approvals,
    /// Approves an order of somebody else, which is done with this.
    Approve(Decision),
    /// Has an order not be done.
    Reject(Decision),
}

#[derive(Args)]
struct Set {
    #[command(flatten)]
    edits: Edits,
    /// Why, for whoever reads the record.
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = true)]
struct Edits {
    /// What `kakunin policy show` printed, edited.
    file: Option<PathBuf>,
    /// What follows from a score: observe, warn or enforce.
    #[arg(long)]
    mode: Option<Mode>,
    /// The score from which an agent is worth a look.
    #[arg(long)]
    medium: Option<Number>,
    /// The score from which people are warned.
    #[arg(long)]
    warning: Option<Number>,
    /// The score from which the identity is taken away.
    #[arg(long)]
    revoke: Option<Number>,
    /// Suspicious events that there must be before that.
    #[arg(long)]
    minimum_events: Option<u32>,
    /// The risk model that judges; `--model ""` for the one that the tenant was made with. With another one all evidence begins
    /// anew.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Never hold what would be revoked.
    #[arg(long)]
    no_breaker: bool,
    /// What needs a second person, and nothing else: revoke, release, policy; `--second-approver ""` for nothing.
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(SECOND.iter().copied().chain([""])))]
    second_approver: Option<Vec<String>>,
}

#[derive(Args)]
struct Reason {
    /// Why; it goes on record.
    #[arg(long)]
    reason: String,
}

#[derive(Args)]
struct Decision {
    /// Which order.
    id: ApprovalId,
    /// Why; it goes on record.
    #[arg(long)]
    reason: Option<String>,
}

impl Tenants {
    pub(crate) fn order(&self) -> Order {
        match &self.command {
            PolicyCommand::Show => Order::Show,
            PolicyCommand::Set(set) => Order::Set(set.change()),
            PolicyCommand::Breaker => Order::Breaker,
            PolicyCommand::Release(Reason { reason }) => Order::Release(reason.clone()),
            PolicyCommand::Confirm(Reason { reason }) => Order::Confirm(reason.clone()),
            PolicyCommand::Approvals => Order::Approvals,
            PolicyCommand::Approve(decision) => decision.order(true),
            PolicyCommand::Reject(decision) => decision.order(false),
        }
    }
}

impl Decision {
    fn order(&self, approve: bool) -> Order {
        Order::Decide { id: self.id, approve, reason: self.reason.clone() }
    }
}

impl Set {
    fn change(&self) -> Change {
        let Edits { file, mode, medium, warning, revoke, minimum_events, model, no_breaker, second_approver } =
            &self.edits;
        Change {
            file: file.clone(),
            mode: *mode,
            thresholds: [("medium", medium), ("warning", warning), ("revoke", revoke)]
                .map(|(name, number)| (name, number.clone())),
            minimum_events: *minimum_events,
            model: model.clone(),
            no_breaker: *no_breaker,
            second_approver: second_approver.clone(),
            reason: self.reason.clone(),
        }
    }
}

/// A verdict on an agent's score.
#[derive(Args)]
pub(crate) struct Judge {
    /// Which agent.
    pub(crate) agent: AgentId,
    /// dismiss, confirmSafe or confirmCompromised.
    pub(crate) verdict: Verdict,
    /// Why; it goes on record.
    #[arg(long)]
    pub(crate) reason: String,
    /// With confirmCompromised, for what the certificate is revoked: key_compromise, the default, or risk_threshold_exceeded.
    #[arg(long)]
    pub(crate) cause: Option<String>,
}
