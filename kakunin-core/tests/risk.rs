//! Every model through the suite that any model must pass.

#![cfg(feature = "conformance")]

use kakunin_core::conformance::risk_model;
use kakunin_core::risk::{Weighted, Weighted2};

#[test]
fn weighted() {
    risk_model::all(&Weighted::default());
}

#[test]
fn weighted2() {
    risk_model::all(&Weighted2::default());
}
