//! X.509 certificates and CRLs (RFC 5280): what is written by hand here, and what is read.
//!
//! Writing is our own DER, because the profile is narrow and the CRL builders at hand put a wrong
//! authority key identifier into CRLs of an intermediate. Reading is a zero-copy walk that refuses
//! what is not DER. Before anything is signed, an independent decoder lints it (feature `service`).

pub mod certificate;
pub mod csr;
/// Our own DER, for the crates of this workspace: no promise to anybody else.
#[doc(hidden)]
pub mod der;
pub mod extensions;
pub mod name;
pub mod oid;
pub mod pem;
pub mod published;

#[cfg(feature = "service")]
pub mod ca;
#[cfg(feature = "service")]
pub mod crl;
#[cfg(feature = "service")]
pub(crate) mod lint;
#[cfg(feature = "service")]
pub(crate) mod tbs;
mod weak;

pub use der::DerError;
#[cfg(feature = "service")]
pub use lint::LintError;
#[cfg(feature = "service")]
pub use tbs::AssembleError;
