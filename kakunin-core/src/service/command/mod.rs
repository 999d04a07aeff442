//! Decisions: a command is a value, held against the state; records come out, or a refusal. Nothing here waits.
//!
//! | command | is decided in |
//! |---|---|
//! | `Register`, `Ensure` | `register.rs` |
//! | `Update` | `update.rs` |
//! | `Reinstate` | `reinstate.rs` |
//! | `Retire` | `retire.rs` |
//! | `PlanKey`, `Making`, `Conclude` | `certify.rs`; of renewals `renewal.rs`, of repeats `repeat.rs` |
//! | `Abandon` | `abandon.rs` |
//! | `CreateJoinToken` | `enrol.rs` |
//! | `Grant`, `ConfirmGrant` | `grant.rs` |
//! | `Batch` | `observe.rs` |
//! | `Revoke` | `revoke.rs` |
//! | `Hold`, `Release` | `hold.rs` |
//! | `StopAgent`, `KeepReceipt` | `halt.rs` |
//! | `EndGraces` | `grace.rs` |
//! | `CreateWebhook`, `ChangeWebhook`, `RotateWebhook`, `DisableWebhook`, `DeleteWebhook` | `webhook.rs` |
//! | `SetPolicy` | `policy.rs` |
//! | `Judge` | `verdict.rs` |
//! | `Resolve` | `breaker.rs`; what follows from scores `acting.rs` |
//! | `Ask`, `Approve` | `approve.rs` |
//! | `RecordState` | `record_state.rs` |
//! | `Erase` | `erase.rs` |
//! | `Suspect`, `RefuseSelfRenewal`, `TellOfExpiry`, `DelayKeyTask` | `alert.rs` |

pub(crate) mod abandon;
pub(crate) mod acting;
pub(crate) mod alert;
pub(crate) mod approve;
pub(crate) mod breaker;
pub(crate) mod certify;
pub(crate) mod decide;
#[cfg(test)]
mod decided;
pub(crate) mod draft;
pub(crate) mod enrol;
pub(crate) mod erase;
pub(crate) mod grace;
pub(crate) mod grant;
pub(crate) mod halt;
pub(crate) mod hold;
pub(crate) mod mark;
pub(crate) mod named;
pub(crate) mod observe;
pub(crate) mod policy;
pub(crate) mod record_state;
pub(crate) mod register;
pub(crate) mod reinstate;
pub(crate) mod renewal;
pub(crate) mod repeat;
pub(crate) mod retire;
pub(crate) mod revoke;
pub(crate) mod system;
pub(crate) mod update;
pub(crate) mod verdict;
pub(crate) mod webhook;
