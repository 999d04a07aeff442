#![no_main]
//! Client certificates in the forms in which gateways hand them over, from who is not one.

use kakunin_verify::possession::CertificateEncoding::{Base64, Base64List, ByteSequence, UrlPem, Xfcc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for encoding in [ByteSequence, UrlPem, Base64, Base64List, Xfcc] {
        if let Ok(chain) = encoding.read(text) {
            assert!((1..=4).contains(&chain.len()));
            assert_eq!(encoding.read(&encoding.write(&chain)), Ok(chain));
        }
    }
});
