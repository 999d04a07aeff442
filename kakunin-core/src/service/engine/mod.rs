//! Logs: who decides next, the append, its seals, and what is loaded from it.

pub(crate) mod api_keys;
pub(crate) mod backoff;
pub(crate) mod cas;
pub(crate) mod commit;
pub(crate) mod damage;
pub(crate) mod feed_key;
pub(crate) mod inner;
pub(crate) mod issuing;
pub(crate) mod job;
pub(crate) mod lead;
pub(crate) mod ledger;
pub(crate) mod parts;
pub(crate) mod replay;
pub(crate) mod revocations;
pub(crate) mod scopes;
pub(crate) mod seal;
pub(crate) mod sealed;
pub(crate) mod secret;
pub(crate) mod sequence;
pub(crate) mod sequencer;
pub(crate) mod system;
pub(crate) mod telling;
pub(crate) mod tenant;
pub(crate) mod turns;
pub(crate) mod vault;
