//! Who proves, and what is answered.

use kakunin_verify::{Denied, VerifiedAgent};

use crate::common::*;

pub(crate) fn code(result: Result<(), Denied>) -> &'static str {
    result.err().map_or("proved", |denied| denied.code())
}

pub(crate) fn agent_of(world: &World) -> VerifiedAgent {
    world.verifier(backends()[0]).verify(&[world.leaf_der()], NOW).unwrap()
}
