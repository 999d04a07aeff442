#![no_main]
//! A scope that parses is its own text, covers itself, and has nothing the grammar forbids.

use kakunin_core::scope::Scope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    if let Ok(scope) = Scope::parse(data) {
        assert_eq!(scope.as_str(), data);
        assert!(scope.covers(&scope) && Scope::parse("*:*").unwrap().covers(&scope));
        assert!(data.is_ascii() && !data.contains("..*") && !data.contains("//") && data.len() <= 128);
    }
});
