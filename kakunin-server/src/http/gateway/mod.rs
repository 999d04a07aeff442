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
//! | `decision.rs` | what both share: the verifier, the decision, its record, refusals |

pub(super) mod check;
mod decision;
pub(super) mod forward;
mod looks;
mod proxy;
mod target;

pub(super) use decision::Gateway;
pub use proxy::{GatewayProxy, GatewayProxyError};
