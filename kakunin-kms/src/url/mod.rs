//! Where keys are, in one string of an operator's configuration.
//!
//! ```text
//! local:/var/lib/kakunin/keys?key-file=/etc/kakunin/key.secret
//! awskms:region=eu-west-1;deployment=prod?sign-rsa-rate=200
//! pkcs11:token=kakunin;serial=1d37?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/kakunin/pin
//! ```
//!
//! The form is that of RFC 7512 for all three: attributes separated by `;` before the `?` and by `&` after
//! it, where either place will do, and octets as `%xx`. What follows `local:` is a folder.

pub(crate) mod attributes;
mod error;
pub(crate) mod open;
mod parsed;
mod scheme;

pub use error::KeyUrlError;
pub use parsed::KeyUrl;
pub use scheme::Scheme;
