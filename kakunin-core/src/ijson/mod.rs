//! JSON that every reader takes for the same: I-JSON (RFC 7493), looked for in the text, before a parser has
//! rounded its numbers or dropped a member that comes twice.
//!
//! Canonical JSON (RFC 8785) is defined for I-JSON alone. What is signed or kept here goes through [`check`]
//! first, so that one signature belongs to one message, and what is given back is what was given.
//!
//! | refused | because |
//! |---|---|
//! | a whole number beyond ±(2^53 - 1), written as `9007199254740993`, `9007199254740993.0` or `9.1e17` | JavaScript and every double change its digits |
//! | a fraction that no double prints, such as `0.1234567890123456789` or `1.0000000000000001` | its last digits change |
//! | `1e400`, `1e-400`, `-0` | they become infinity, zero, and zero |
//! | a member that comes twice, also spelled by escapes | some readers take the first, some the last |
//! | half of a surrogate pair | it is no text |
//!
//! Noncharacters such as U+FFFE, which RFC 7493 forbids as well, pass: no reader changes them.

mod check;
mod decimal;
mod error;
mod fault;
mod scanner;

pub use check::check;
pub use decimal::MAX_INTEGER;
pub use error::{IJsonError, MAX_DEPTH, Why};
