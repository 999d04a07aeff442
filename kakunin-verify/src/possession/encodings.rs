//! How gateways that end TLS hand a client's certificates over in a header field.
//!
//! Each has one form here, the one that the gateway writes; what a gateway would not write is refused, so
//! that nobody else reads the field differently.

use base64ct::{Base64, Encoding};
use kakunin_core::x509::certificate::MAX_CERTIFICATE_LEN;

use super::certificates::{MAX_CERTIFICATES, parse_certificates, write_certificates};
use super::percent::{malformed, pem_of, percent_encode, url_pem};
use super::xfcc;
use crate::denied::{Code, Denied};

/// Most octets of such a field; heads of requests end here too.
pub(super) const MAX_FIELD_LEN: usize = 64 * 1024;

/// The form in which a gateway hands certificates over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateEncoding {
    /// `:base64:` (RFC 9440).
    ByteSequence,
    /// PEM, percent-encoded: `$ssl_client_escaped_cert` of nginx.
    UrlPem,
    /// Base64 of one certificate: `ssl_c_der,base64` of HAProxy, `certificate_der_base64` of Caddy.
    Base64,
    /// Base64 of each certificate, separated by commas: `X-Forwarded-Tls-Client-Cert` of Traefik.
    Base64List,
    /// `Cert` or `Chain` of the last element of `x-forwarded-client-cert` of Envoy.
    Xfcc,
}

impl CertificateEncoding {
    /// Reads the DER of each certificate, leaf first.
    ///
    /// # Errors
    /// [`Denied`] with `certificate_missing` if the field is there and holds none, as gateways send it for
    /// clients without one, and `certificate_malformed` for what such a gateway would not write.
    pub fn read(self, field: &str) -> Result<Vec<Vec<u8>>, Denied> {
        if field.is_empty() {
            return Err(Denied::new(Code::CertificateMissing));
        }
        if field.len() > MAX_FIELD_LEN {
            return Err(malformed());
        }
        let chain = match self {
            Self::ByteSequence => parse_certificates(field)?,
            Self::UrlPem => url_pem(field)?,
            Self::Base64 => vec![base64(field)?],
            Self::Base64List => base64_list(field)?,
            Self::Xfcc => xfcc::read(field)?,
        };
        let fits =
            chain.len() <= MAX_CERTIFICATES && chain.iter().all(|der| der.len() <= MAX_CERTIFICATE_LEN);
        if fits { Ok(chain) } else { Err(malformed()) }
    }

    /// Writes certificates as the gateway does: all of them, or the leaf where it hands over no more.
    #[must_use]
    pub fn write<C: AsRef<[u8]>>(self, chain: &[C]) -> String {
        let base64 = |der: &C| Base64::encode_string(der.as_ref());
        match self {
            Self::ByteSequence => write_certificates(chain),
            Self::UrlPem => percent_encode(&pem_of(chain)),
            Self::Base64 => chain.first().map(base64).unwrap_or_default(),
            Self::Base64List => chain.iter().map(base64).collect::<Vec<_>>().join(","),
            Self::Xfcc => format!("Chain=\"{}\"", percent_encode(&pem_of(chain))),
        }
    }
}

fn base64(text: &str) -> Result<Vec<u8>, Denied> {
    Base64::decode_vec(text).ok().filter(|der| !der.is_empty()).ok_or_else(malformed)
}

fn base64_list(text: &str) -> Result<Vec<Vec<u8>>, Denied> {
    // One too many is enough to refuse it.
    text.split(',').take(MAX_CERTIFICATES + 1).map(base64).collect()
}

#[cfg(test)]
mod tests {
    use kakunin_core::x509::pem;

    use super::*;

    const ALL: [CertificateEncoding; 5] = [
        CertificateEncoding::ByteSequence,
        CertificateEncoding::UrlPem,
        CertificateEncoding::Base64,
        CertificateEncoding::Base64List,
        CertificateEncoding::Xfcc,
    ];

    /// Numbers that are the same in each run (xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 >> 16).unwrap() % limit
        }

        fn chain(&mut self) -> Vec<Vec<u8>> {
            let count = 1 + self.below(MAX_CERTIFICATES);
            (0..count)
                .map(|_| {
                    let len = 1 + self.below(1_500);
                    (0..len).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
                })
                .collect()
        }
    }

    #[test]
    fn what_gateways_write_is_read_and_no_other_spelling_of_it() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..200 {
            let chain = random.chain();
            for encoding in ALL {
                let chain = if encoding == CertificateEncoding::Base64 { &chain[..1] } else { &chain[..] };
                let text = encoding.write(chain);
                assert_eq!(encoding.read(&text).unwrap(), chain, "{encoding:?}");
                // One character else, anywhere: other certificates, or none.
                let mut changed = text.clone().into_bytes();
                let at = random.below(changed.len());
                let old = std::mem::replace(&mut changed[at], b'!' + u8::try_from(random.below(94)).unwrap());
                let changed = String::from_utf8(changed).unwrap();
                let only_case = old.is_ascii_hexdigit() && changed.eq_ignore_ascii_case(&text);
                let key = encoding == CertificateEncoding::Xfcc && at < 6;
                if changed != text && !only_case && !key {
                    assert_ne!(
                        encoding.read(&changed).ok().as_deref(),
                        Some(chain),
                        "{encoding:?} {changed}"
                    );
                }
            }
        }
    }

    #[test]
    fn each_form_is_refused_as_any_other() {
        let chain = [vec![0x30; 300], vec![0x31; 200]];
        for written in ALL {
            for read in ALL {
                let one =
                    matches!((written, read), (CertificateEncoding::Base64, CertificateEncoding::Base64List));
                assert_eq!(
                    read.read(&written.write(&chain)).is_ok(),
                    written == read || one,
                    "{written:?} {read:?}"
                );
            }
        }
        let lists = CertificateEncoding::Base64List.read(&CertificateEncoding::Base64.write(&chain));
        assert_eq!(lists.unwrap(), chain[..1]);
    }

    #[test]
    fn too_much_and_too_little_is_refused() {
        let code = |encoding: CertificateEncoding, text: &str| encoding.read(text).unwrap_err().code();
        let (many, long) = (vec![vec![1]; MAX_CERTIFICATES + 1], [vec![0; MAX_CERTIFICATE_LEN + 1]]);
        for encoding in ALL {
            assert_eq!(code(encoding, ""), "certificate_missing");
            if encoding != CertificateEncoding::Base64 {
                assert_eq!(code(encoding, &encoding.write(&many)), "certificate_malformed", "{encoding:?}");
            }
            assert_eq!(code(encoding, &encoding.write(&long)), "certificate_malformed", "{encoding:?}");
            assert_eq!(code(encoding, &"A".repeat(MAX_FIELD_LEN + 1)), "certificate_malformed");
            for bad in [",", "%", "%4", "%zz", "\u{e9}", " ", "=", "AAAA,", ",AAAA", "AAAA AAAA"] {
                assert_eq!(code(encoding, bad), "certificate_malformed", "{encoding:?} {bad}");
            }
        }
    }

    #[test]
    fn pem_is_read_as_nginx_and_envoy_escape_it() {
        let text = pem::encode(pem::CERTIFICATE, &[0xfb; 100]);
        let envoy = [('\n', "%0A"), (' ', "%20"), ('+', "%2B"), ('/', "%2F"), ('=', "%3D")]
            .iter()
            .fold(text.clone(), |text, (plain, escaped)| text.replace(*plain, escaped));
        assert_eq!(url_pem(&envoy).unwrap(), [vec![0xfb; 100]]);
        assert_eq!(url_pem(envoy.trim_end_matches("%0A")).unwrap(), [vec![0xfb; 100]]);
        let decoded_plus = envoy.replace("%2B", "+");
        let noise = format!("x%0A{envoy}");
        for bad in [&decoded_plus, &noise, &text, &envoy.replacen("%0A", "%0D%0A", 1), &format!("{envoy}x")] {
            assert_eq!(url_pem(bad).unwrap_err().code(), "certificate_malformed", "{bad}");
        }
    }
}
