//! What logs amount to: a file for each projection, its rows, and how a record changes them.

pub(crate) mod agent;
pub(crate) mod api_keys;
pub(crate) mod apply;
pub(crate) mod bound;
pub(crate) mod certificates;
pub(crate) mod crl_mark;
pub(crate) mod dedup;
pub(crate) mod erasures;
pub(crate) mod folding;
pub(crate) mod inbox;
pub(crate) mod index;
pub(crate) mod key_task;
pub(crate) mod names;
pub(crate) mod notices;
pub(crate) mod own;
pub(crate) mod projection;
pub(crate) mod read_marks;
pub(crate) mod roster;
pub(crate) mod rows;
pub(crate) mod second;
pub(crate) mod serials;
pub(crate) mod settings;
pub(crate) mod system;
pub(crate) mod tally;
pub(crate) mod usage;
