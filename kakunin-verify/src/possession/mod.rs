//! Proof of possession: an HTTP message signature (RFC 9421) by the key in the agent's certificate.
//!
//! A certificate is public. Whoever presents one shows that it holds the key by signing method, target, the name of
//! the service, the content if there is any, time, and a nonce that is used once:
//!
//! ```text
//! X-Kakunin-Certificate: :<base64 of the leaf's DER>:
//! Content-Digest: sha-256=:<base64>:
//! Signature-Input: kakunin=("@method" "@request-target" "@authority" "content-digest");created=1795420800;
//!     keyid="<serial>";nonce="<16 to 64 characters>";tag="kakunin-request"
//! Signature: kakunin=:<base64>:
//! ```
//!
//! The profile is strict: one signature with this tag, parameters once each and of these names, one serialization. So the
//! received text is what RFC 9421, 2.3 would serialize again, and is put into the signature base as it is. Signatures of
//! others may stand beside it, under labels of their own, on the same field line or on others; they are not looked at.
//!
//! The octets of a signature are as RFC 9421, 3.3 has them. ECDSA's are `r || s` (IEEE P1363), 64 for P-256, and not the DER
//! sequence that X.509, and most libraries unless asked for the other, make of both numbers. RSA's are PKCS #1 v1.5.
//!
//! A verifier knows under which names it is reached, and believes no field of the request about that: whoever the
//! agent called could send the signature on, with any `Host` field. [`prove`] gives a [`Proof`], whose nonce is used up
//! last, so that what is refused for another reason uses up nothing.

mod authority;
mod certificates;
mod dictionary;
mod digest;
mod encodings;
mod eras;
mod fields;
mod nonces;
mod percent;
mod profile;
mod prove;
mod sign;
mod xfcc;

pub use authority::{Authorities, Authority, AuthorityError};
pub use certificates::{
    ACTION_HEADER, CERTIFICATE_HEADER, SERIAL_HEADER, SPIFFE_ID_HEADER, parse_certificates,
    write_certificates,
};
pub use encodings::CertificateEncoding;
pub use nonces::{NonceFigures, Nonces};
pub use profile::{MAX_AGE, MAX_AHEAD, TAG};
pub use prove::{Proof, SignedRequest, prove};
pub use sign::{Outgoing, RequestToSign};

#[cfg(fuzzing)]
use digest::ContentDigest;
#[cfg(fuzzing)]
use fields::{parse_input, parse_signature};

/// Parses both fields as [`prove`] does; what is accepted is its own serialization.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_signature(input: &str, signature: &str) {
    let _ = dictionary::ours(input);
    if let Ok(parsed) = parse_input(input) {
        assert_eq!(format!("{}={}", parsed.label, parsed.params), input);
        let _ = parse_signature(signature, parsed.label).map(|raw| sign::to_der(&raw));
    }
    if let Ok(digest) = ContentDigest::parse(signature) {
        let _ = digest.fits(input.as_bytes());
    }
    if let Ok(name) = input.parse::<Authority>() {
        assert_eq!(format!("ftp://{name}").parse::<Authority>().ok(), None);
        assert!(name.as_str().parse::<Authority>().is_ok());
    }
}
