#![no_main]
//! Texts that callers of the API send: times, keys, identifiers; and names out of certificates.

use kakunin_core::access::ApiKey;
use kakunin_core::id::{AgentId, Serial};
use kakunin_core::time::UnixTime;
use kakunin_core::x509::name::NameParts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = NameParts::read(data) {
        let _ = name.to_der();
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(time) = UnixTime::from_rfc3339(text) {
        assert_eq!(UnixTime::from_rfc3339(&time.to_string()), Some(time));
    }
    let _ = ApiKey::open(text);
    if let Ok(id) = text.parse::<AgentId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(serial) = text.parse::<Serial>() {
        assert_eq!(serial.to_string().parse(), Ok(serial));
    }
});
