//! The default model through the suite that any model must pass.

#![cfg(feature = "conformance")]

use kakunin_core::conformance::risk_model;
use kakunin_core::risk::Weighted;

#[test]
fn weighted() {
    risk_model::all(&Weighted::default());
}
