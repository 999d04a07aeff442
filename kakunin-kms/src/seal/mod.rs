//! Keys that lie sealed in a vault, and the one secret that opens them: for servers that share a store and have
//! no folder of their own.
//!
//! | file | does |
//! |---|---|
//! | `contract.rs` | [`Seal`]: what a seal is; what goes wrong with one |
//! | `file.rs` | [`FileSeal`]: 32 octets in a file |
//! | `keys.rs`, `provider.rs` | [`SealedKeys`], and the contract of key providers |
//! | `rows.rs` | what lies in the vault |
//! | `rewrap.rs`, `adopt.rs` | from one seal to another; from a folder |
//! | `url.rs` | [`SealUrl`]: which seal, in one string |
//!
//! Seals by AWS KMS and by a token are with their clients: `aws/seal.rs` (features `seal` and `aws`),
//! `pkcs11/seal.rs` (`seal` and `pkcs11`).

mod adopt;
mod contract;
mod file;
mod keys;
mod provider;
mod rewrap;
mod rows;
mod url;

#[cfg(feature = "aws")]
pub use crate::aws::KmsSeal;
#[cfg(feature = "pkcs11")]
pub use crate::pkcs11::{HsmSeal, SealingKey};
pub use contract::{LIMIT, Seal, SealError};
#[cfg(any(feature = "aws", feature = "pkcs11"))]
pub(crate) use contract::{SEALED_LIMIT, takes};
pub use file::FileSeal;
pub use keys::SealedKeys;
pub use url::{SealKind, SealUrl, SealUrlError, from_url};
