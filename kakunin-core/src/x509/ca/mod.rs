//! Certificate authorities: the root, the issuing CA, and what an issuer needs to issue.

mod error;
mod issuer;
mod prepare;
mod sign;

pub use error::{CaError, SignCaError};
pub use issuer::{Issuer, SHARDS};
pub use prepare::{
    BACKDATE, Binding, ISSUING_VALIDITY, PreparedCa, ROOT_VALIDITY, prepare_issuing, prepare_root,
};
pub use sign::{sign_issuing, sign_root};

pub use crate::x509::tbs::AssembleError;
