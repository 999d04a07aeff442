//! Answers that prove what they say: see `docs/AUDIT-LOG.md`.

use base64ct::{Base64, Encoding};
use kakunin_core::service::{Error, ProvenLeaf, ProvenRange, Tenant};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::chain;

/// How much an answer says of what was recorded.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LevelQuery {
    /// `durable`, unless it is given: what was recorded is on disk, with its place in the log. `proved`: it is proved, too.
    #[param(inline)]
    level: Option<Level>,
}

/// Weaker than durable there is none.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    Durable,
    Proved,
}

impl LevelQuery {
    pub(crate) fn proves(&self) -> bool {
        self.level == Some(Level::Proved)
    }
}

/// Proof that one record is in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeafProof {
    /// The leaf that holds the record, base64. Its hash is `SHA-256(0x00 || leaf)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<String>,
    /// The text of its proof (c2sp.org/tlog-proof), which ends with the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

impl LeafProof {
    pub(crate) const NONE: Self = Self { leaf: None, proof: None };

    /// Of the record of this index. What is on record stays so where the proof cannot be made now: then there is none.
    pub(crate) async fn of(tenant: &Tenant, index: Option<u64>) -> Self {
        let Some(index) = index else { return Self::NONE };
        match tenant.prove(index).await {
            Ok(ProvenLeaf { leaf, proof }) => {
                Self { leaf: Some(Base64::encode_string(&leaf)), proof: Some(proof.to_text()) }
            }
            Err(error) => {
                not_made(&error);
                Self::NONE
            }
        }
    }
}

/// Proof that records which follow each other are in the log, and that nothing is missing between them.
#[derive(Serialize, ToSchema)]
pub(crate) struct RangeBody {
    /// Index of the first of them.
    first: u64,
    /// Hashes of their leaves, base64, unless the leaves are here. Records of the deployment's own, such as a revocation,
    /// may stand among those of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_hashes: Option<Vec<String>>,
    /// Their leaves, base64. The hash of one is `SHA-256(0x00 || leaf)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    leaves: Option<Vec<String>>,
    /// Roots of the full subtrees before them, base64, from left to right.
    left: Vec<String>,
    /// Roots of the subtrees after them, from left to right.
    right: Vec<String>,
    /// Signed note (C2SP) over the log with all of them in it.
    pub(crate) checkpoint: String,
}

impl RangeBody {
    /// From the first to the last of these indices, with the leaves themselves or with their hashes.
    pub(crate) async fn of(tenant: &Tenant, indices: &[u64], leaves: bool) -> Option<Self> {
        let (first, last) = (indices.iter().min()?, indices.iter().max()?);
        match tenant.prove_range(*first..last.saturating_add(1)).await {
            Ok(proven) => Some(Self::new(proven, leaves)),
            Err(error) => {
                not_made(&error);
                None
            }
        }
    }

    fn new(proven: ProvenRange, with_leaves: bool) -> Self {
        let ProvenRange { leaves, hashes, proof } = proven;
        let texts = |all: &[[u8; 32]]| all.iter().map(|one| Base64::encode_string(one)).collect();
        let leaves = with_leaves.then(|| leaves.iter().map(|leaf| Base64::encode_string(leaf)).collect());
        Self {
            first: proof.first,
            leaf_hashes: (!with_leaves).then(|| texts(&hashes)),
            leaves,
            left: texts(&proof.left),
            right: texts(&proof.right),
            checkpoint: proof.checkpoint,
        }
    }
}

fn not_made(error: &Error) {
    tracing::error!(code = error.code(), error = %chain(error), "a proof of what was recorded could not be made");
}
