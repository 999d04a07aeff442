//! What a field looks like that does not hold certificates in the form that is configured for its gateway, so that the
//! log can say what to write instead. It names the form, and never what the field holds.

/// Fields in which gateways commonly hand certificates over.
pub(super) const USUAL_FIELDS: [&str; 6] = [
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-forwarded-tls-client-cert",
    "client-cert",
    "x-ssl-cert",
    "ssl-client-cert",
];

/// Keys of an element of `x-forwarded-client-cert`.
const XFCC_KEYS: [&str; 7] = ["by", "hash", "cert", "chain", "subject", "uri", "dns"];
/// "-----BEGIN CERTIFICATE" in base64, as far as no octet after it matters.
const BASE64_OF_PEM: &str = "LS0tLS1CRUdJTi";

/// The form that a field seems to be in.
pub(super) fn looks_like(field: &str) -> &'static str {
    let begins = |head: &str| {
        field.as_bytes().get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head.as_bytes()))
    };
    let base64 = |text: &str| {
        text.len() > 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
    };
    let quoted = |text: &str| text.len() > 2 && text.starts_with(':') && text.ends_with(':');
    if begins("-----BEGIN%20") || begins("-----BEGIN+") || begins("%2D%2D%2D%2D%2DBEGIN") {
        "escaped PEM (nginx)"
    } else if begins("-----BEGIN ") {
        "PEM that is not escaped (no form: nginx has $ssl_client_escaped_cert)"
    } else if begins("%3A") {
        "an escaped byte sequence (no form: rfc9440 is not escaped)"
    } else if quoted(field) {
        "a byte sequence (rfc9440)"
    } else if field
        .split_once('=')
        .is_some_and(|(key, _)| XFCC_KEYS.iter().any(|k| k.eq_ignore_ascii_case(key)))
    {
        "XFCC (envoy)"
    } else if field.starts_with(BASE64_OF_PEM) {
        "base64 of PEM (no form: write base64 of DER)"
    } else if base64(field) {
        "base64 (caddy, haproxy)"
    } else if field.contains(',') && field.split(',').all(base64) {
        "a list of base64 (traefik)"
    } else if field.starts_with("MI") && field.contains('%') {
        "escaped base64 (no form: write it without)"
    } else {
        "no form that is known"
    }
}

#[cfg(test)]
mod tests {
    use kakunin_core::x509::pem;
    use kakunin_verify::possession::CertificateEncoding::{Base64, Base64List, ByteSequence, UrlPem, Xfcc};

    use super::*;

    #[test]
    fn each_form_is_told_from_the_others() {
        let chain = [[0x30; 300], [0x30; 300]];
        for (form, word) in [
            (UrlPem, "escaped PEM (nginx)"),
            (Base64, "base64 (caddy, haproxy)"),
            (Base64List, "a list of base64 (traefik)"),
            (Xfcc, "XFCC (envoy)"),
            (ByteSequence, "a byte sequence (rfc9440)"),
        ] {
            assert_eq!(looks_like(&form.write(&chain)), word);
        }
        let pem = pem::encode(pem::CERTIFICATE, &[0x30; 300]);
        assert!(looks_like(&pem.replace('\n', " ")).starts_with("PEM that is not escaped"));
        assert!(looks_like(&pem.replace('\n', "\t")).starts_with("PEM that is not escaped"));
        assert!(looks_like(&Base64.write(&[pem.as_bytes()])).starts_with("base64 of PEM"));
        assert!(looks_like("MIID%2Babc").starts_with("escaped base64"));
        for neither in ["", "(null)", "-", "=", ":", "::", "hash", "é", "MI", "By", "%", ",,"] {
            assert_eq!(looks_like(neither), "no form that is known", "{neither}");
        }
        assert_eq!(looks_like("By=spiffe://x;Hash=00;URI="), "XFCC (envoy)");
    }
}
