#![no_main]
//! An event from a stranger; one that parses is never more than asserted.

use kakunin_core::event::{Attribution, Event};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(event) = Event::from_json(data) {
        assert_eq!(event.attribution, Attribution::Asserted);
    }
});
