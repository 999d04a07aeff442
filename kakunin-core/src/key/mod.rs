//! Keys: algorithms, public keys, and the two seams behind which private keys stay.
//!
//! | file | has |
//! |---|---|
//! | `public.rs` | algorithms, public keys, signatures |
//! | `reference.rs` | how a key is named: planned, and at its provider |
//! | `provider.rs` | the seams: `Signer`, `KeyProvider` (feature `keys`) |
//! | `error.rs` | what goes wrong at a provider |

mod error;
#[cfg(feature = "keys")]
mod provider;
mod public;
mod reference;

pub use error::SignError;
#[cfg(feature = "keys")]
pub use provider::{KeyProvider, Signer};
pub use public::{KeyAlgorithm, Signature, Spki, SpkiError};
pub use reference::{HeldKey, KeyRef, PlannedKeyId};
