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
//!
//! ```
//! use kakunin_core::scope::{Action, Scope, ScopeSet};
//!
//! let held = ScopeSet::parse(["read:accounts/*", "write:payments"])?;
//! assert!(held.permits(&Action::parse("read:accounts/7/lines")?));
//! assert!(!held.permits(&Action::parse("read:accounts")?));
//! assert!(!held.permits(&Action::parse("write:payments-archive")?));
//! assert!(held.attenuate(ScopeSet::parse(["read:*"])?).is_err(), "wider than what is held");
//! let error = Scope::parse("read:Accounts").unwrap_err();
//! assert_eq!(error.to_string(), "scope `read:Accounts` is malformed at byte 5: a segment is a-z 0-9 then a-z 0-9 - _ ., up to 64");
//! # Ok::<_, kakunin_core::scope::ScopeError>(())
//! ```

mod action;
mod grammar;
mod parsed;
mod set;

pub use action::{Action, ToAction};
pub use grammar::{MAX_SCOPE_LEN, check, covers};
pub use parsed::{MAX_SCOPES, Scope, ScopeError};
pub use set::ScopeSet;
