#![no_main]
//! A path that is let through is itself again, has no dot segment, and is the same to whoever decodes, cuts or turns slashes.

use kakunin_verify::target::path;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &str| {
    let Ok(read) = path(data) else { return };
    assert!(data.starts_with(read) && path(read) == Ok(read) && read.starts_with('/') && read.is_ascii());
    assert!(read.split('/').all(|segment| segment != "." && segment != ".."));
    assert!(!read.contains("//") && !read.contains(['\\', ';', '#', '?', ' ']));
    let lower = read.to_ascii_lowercase();
    for encoded in ["%2e", "%2f", "%5c", "%3b", "%25", "%23", "%3f", "%00", "%61", "%0a", "%7f", "%c0"] {
        assert!(!lower.contains(encoded), "{encoded}");
    }
});
