//! The scope grammar: what an agent may do, matched on whole segments, denied by default.
//!
//! ```text
//! scope    = verb ":" resource
//! verb     = word / "*"
//! resource = seg *( "/" seg ) [ "/*" ] / "*"
//! word     = LOWER *( LOWER / DIGIT / "-" / "_" )                    ; 1 to 32
//! seg      = ( LOWER / DIGIT ) *( LOWER / DIGIT / "-" / "_" / "." )  ; 1 to 64
//! ```
//!
//! `read:accounts` covers only itself. `read:accounts/*` covers one or more further segments and not
//! `read:accounts`. `read:*` covers every resource. There is no substring match, no negation and no
//! regular expression, so that `covers` is decidable pair by pair.

mod action;
mod grammar;
mod parsed;
mod set;

pub use action::Action;
pub use grammar::{MAX_SCOPE_LEN, check, covers};
pub use parsed::{MAX_SCOPES, Scope, ScopeError};
pub use set::ScopeSet;
