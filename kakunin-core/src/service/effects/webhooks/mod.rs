//! Webhooks: what a tenant's log says, told to the URLs that the tenant named.
//!
//! At least once, never invented, and in their order for each agent at each endpoint. The log is the queue: a cursor says up to
//! where an endpoint was told, and rows say what waits for another attempt. One receiver that fails holds up nobody but
//! itself, and there nothing but later deliveries about the same agent.
//!
//! | file | does |
//! |---|---|
//! | `follower.rs`, `step.rs` | a turn at one endpoint |
//! | `outbox.rs` | what is to be sent, in which order: no I/O |
//! | `desk.rs`, `rows.rs` | what became of it; how that is stored |
//! | `attempt.rs` | one attempt |
//! | `tail.rs`, `hooks.rs` | what a log tells, read once; what endpoints share |
//! | `asked.rs` | pings, redeliveries, and what became of deliveries, for who asks |

mod asked;
mod attempt;
mod desk;
mod follower;
mod hooks;
mod outbox;
mod rows;
mod step;
mod tail;

pub use asked::{Pinged, WebhookFigures};
pub(super) use follower::Webhooks;
pub(super) use hooks::Hooks;
pub use rows::{Attempt, Delivery, DeliveryState};
