//! Limits that callers meet: whoever decides holds to them, and errors name them.

use crate::time::DAY;

/// Most events in one call of [`Tenant::observe_all`](super::Tenant::observe_all).
pub const MAX_EVENTS: usize = 1_000;

/// Most events of a tenant that wait to be decided: more are refused, and whoever sent them comes back.
pub(crate) const MAX_QUEUED: usize = 16_384;

/// Records of orders that may wait beside these: no flood of events keeps an order from being taken in.
pub(crate) const QUEUED_ORDERS: usize = 2_048;

/// How long after a certificate was replaced or ran out an act under it still counts against its agent, by the
/// log's time, in milliseconds.
pub const MAX_LATENESS: u64 = DAY;

/// How often an agent may renew its own certificate within an hour, unless somebody else renews it meanwhile. What
/// it replaces stays on CRLs until it would have expired: with the tenth of each life that has to be over, these are
/// ten entries an agent at the most.
pub const SELF_RENEWALS: usize = 4;

/// How long an order waits for a second person, in milliseconds.
pub const APPROVAL_LIFE: u64 = DAY;

/// Most orders of a tenant that wait at once.
pub const MAX_WAITING: usize = 100;

/// How long before its end the owner of a certificate is told of it, in milliseconds; a tenth of its life if that is less.
pub const EXPIRY_NOTICE: u64 = 7 * DAY;

/// Most items of an inbox that one person marks as read one by one, above the oldest that they have not read.
pub const MAX_READ_MARKS: usize = 1_000;

/// Most erasures of one agent that are kept apart. A wider one takes the place of those within it.
pub(crate) const MAX_ERASURES: usize = 256;

/// Most streams of one reporter for one agent that are told apart; those that were idle for a day are forgotten.
pub(crate) const MAX_STREAMS: usize = 256;

/// How far ahead of a stream's highest number the next one may be: more than anybody counts in a day.
pub(crate) const MAX_JUMP: u64 = 1 << 32;
