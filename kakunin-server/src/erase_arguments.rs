//! The arguments of `kakunin erase`.

use clap::Args;
use kakunin_core::id::AgentId;
use kakunin_core::month::Month;
use kakunin_server::erase;

use crate::server_arguments::Server;

/// What is erased.
#[derive(Args)]
pub(crate) struct Erase {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Of which agent.
    #[arg(long)]
    agent: AgentId,
    /// The first month, in UTC, such as 2026-11.
    #[arg(long)]
    from: Month,
    /// The last month; the first one if not given.
    #[arg(long)]
    to: Option<Month>,
    /// Why, such as the legal basis; it goes on record.
    #[arg(long)]
    reason: String,
}

impl From<&Erase> for erase::Options {
    fn from(Erase { agent, from, to, reason, .. }: &Erase) -> Self {
        Self { agent: *agent, from: *from, to: *to, reason: reason.clone() }
    }
}
