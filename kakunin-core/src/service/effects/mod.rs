//! What follows the logs: key tasks, CRLs, the feed, receipts, graces, and looking after what is stored.

pub(crate) mod checking;
pub(crate) mod cosigned;
pub(crate) mod crl;
pub(crate) mod ending;
pub(crate) mod feed;
pub(crate) mod graces;
pub(crate) mod open;
pub(crate) mod receipt;
pub(crate) mod running;
pub(crate) mod sealing;
pub(crate) mod sweep;
pub(crate) mod tended;
pub(crate) mod tending;
pub(crate) mod visibility;
