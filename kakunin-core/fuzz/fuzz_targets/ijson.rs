#![no_main]
//! What is I-JSON is JSON to a parser, and what is no JSON is none to it either; canonical numbers stay what they are.

use kakunin_core::ijson::check;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &str| {
    let parsed = serde_json::from_str::<Value>(data);
    match check(data) {
        Ok(()) => {
            let written = parsed.expect("JSON").to_string();
            check(&written).expect("what was kept is kept");
        }
        Err(error) if !error.is_json() => assert!(parsed.is_err()),
        Err(error) => assert!(error.to_string().len() < 2_000),
    }
});
