//! Decisions: what is asked for, held against the state; records come out, or a refusal. Nothing here waits.

pub(crate) mod certify;
pub(crate) mod draft;
pub(crate) mod enrol;
pub(crate) mod grace;
pub(crate) mod need;
pub(crate) mod observe;
pub(crate) mod register;
pub(crate) mod renewal;
pub(crate) mod repeat;
pub(crate) mod system;
