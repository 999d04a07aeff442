//! Suites every backend must pass.
