//! What a tenant decides over the risk of its agents: when it is warned, when identities are taken away, and what brakes that.

mod breaker;
mod rules;
mod verdict;

pub use breaker::BreakerPolicy;
pub use rules::{Ceilings, Minimum, Mode, Policy, PolicyError, SecondApprover, Shadow};
pub use verdict::{RiskState, Verdict};
