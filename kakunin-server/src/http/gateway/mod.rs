//! The check of one request of an agent: who it is, proved, and whether its certificate allows the action.
//!
//! The answer is given once the decision has its place in the tenant's log (principle 7), so an agent
//! that reports nothing is seen by what it is refused.
//!
//! | file | does |
//! |---|---|
//! | `check.rs` | `POST gateway/check`: whoever asks names the action in a body |
//! | `forward.rs` | `gateway/auth`: forward authentication of configured gateways, by header fields |
//! | `proxy.rs` | which gateways those are, and how each hands over certificates |
//! | `looks.rs` | what a certificate in another form than that looks like, for the log |
//! | `target.rs` | whether what the agent asks for can be read in one way only |
//! | `decision.rs`, `refusal.rs`, `dry_run.rs` | what both share: the decision, its record, refusals, and which of them a dry run lets through |
//! | `state.rs`, `asked.rs`, `answer.rs` | the verifier, nonces, own names; a request that is passed on; the yes |

mod answer;
mod asked;
pub(super) mod check;
mod decision;
mod dry_run;
pub(super) mod forward;
mod looks;
mod proxy;
mod refusal;
mod state;
mod target;

pub use proxy::{GatewayProxy, GatewayProxyError};
pub(super) use state::Gateway;
