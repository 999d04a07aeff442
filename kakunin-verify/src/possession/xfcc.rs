//! `x-forwarded-client-cert` as Envoy writes it: elements separated by commas, one for each hop; an element is
//! `Key=value` pairs separated by semicolons; values that hold any of these are quoted.
//!
//! Ours: no standard has this field and no maintained crate reads it, and to read it as Envoy alone does is the point.

use super::certificates::MAX_CERTIFICATES;
use super::percent::{malformed, url_pem};
use crate::denied::{Code, Denied};

/// Most elements: no more proxies stand behind one another.
const MAX_ELEMENTS: usize = 16;
/// Most pairs of one element: names of a server certificate come one a pair.
const MAX_PAIRS: usize = 64;

/// The certificates of the last element: the one that the proxy that asks has added itself.
pub(super) fn read(field: &str) -> Result<Vec<Vec<u8>>, Denied> {
    let mut elements = split(field, b',').ok_or_else(malformed)?;
    let last = elements.pop().filter(|_| elements.len() < MAX_ELEMENTS).ok_or_else(malformed)?;
    // Those before it are not believed, but a field that is no list is nobody's.
    for element in elements {
        pairs(element)?;
    }
    let Shown { cert, chain } = pairs(last)?;
    let cert = cert.map(url_pem).transpose()?;
    let chain = chain.map(url_pem).transpose()?;
    match (cert, chain) {
        (Some(cert), _) if cert.len() != 1 => Err(malformed()),
        (Some(cert), Some(chain)) if chain.first() != cert.first() => Err(malformed()),
        (_, Some(chain)) if chain.len() <= MAX_CERTIFICATES => Ok(chain),
        (_, Some(_)) => Err(malformed()),
        (Some(cert), None) => Ok(cert),
        (None, None) => Err(Denied::new(Code::CertificateMissing)),
    }
}

/// What an element says of certificates.
struct Shown<'a> {
    cert: Option<&'a str>,
    chain: Option<&'a str>,
}

fn pairs(element: &str) -> Result<Shown<'_>, Denied> {
    let mut shown = Shown { cert: None, chain: None };
    let (mut hash, mut subject) = (None, None);
    let pairs = split(element, b';').filter(|pairs| pairs.len() <= MAX_PAIRS).ok_or_else(malformed)?;
    for pair in pairs {
        let (key, value) = pair.split_once('=').ok_or_else(malformed)?;
        let value = unquoted(value).ok_or_else(malformed)?;
        let slot = match key.to_ascii_lowercase().as_str() {
            "cert" => &mut shown.cert,
            "chain" => &mut shown.chain,
            "hash" => &mut hash,
            "subject" => &mut subject,
            // A certificate may have several of these.
            "by" | "uri" | "dns" => continue,
            _ => return Err(malformed()),
        };
        if slot.replace(value).is_some() {
            return Err(malformed());
        }
    }
    Ok(shown)
}

/// The parts between separators that are not in quotes; none if a quote is left open.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if octet == separator && !quoted => {
                parts.push(text.get(start..at)?);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    (!quoted).then_some(parts)
}

/// A value without its quotes. What stands escaped in it stays so: certificates have nothing to escape.
fn unquoted(value: &str) -> Option<&str> {
    let Some(inner) = value.strip_prefix('"') else {
        return (!value.contains(['"', '=', ' '])).then_some(value);
    };
    let inner = inner.strip_suffix('"')?;
    let mut octets = inner.bytes();
    while let Some(octet) = octets.next() {
        if octet == b'"' || octet == b'\\' && octets.next().is_none() {
            return None;
        }
    }
    Some(inner)
}

#[cfg(test)]
mod tests {
    use super::super::CertificateEncoding::UrlPem;
    use super::*;

    #[test]
    fn the_last_hop_is_believed_and_nobody_before_it() {
        let [one, two] = [[1; 99], [2; 99]].map(|der| UrlPem.write(&[der]));
        let both = UrlPem.write(&[[1; 99], [2; 99]]);
        let good: [(String, Vec<Vec<u8>>); 6] = [
            (format!("Hash=aa;Cert=\"{one}\""), vec![vec![1; 99]]),
            (
                format!("By=spiffe://a/b;Hash=aa;Cert=\"{one}\";Chain=\"{both}\""),
                vec![vec![1; 99], vec![2; 99]],
            ),
            (
                format!("cert={one};Subject=\"CN=\\\"x\\\",O=a;b=c\";URI=spiffe://a;DNS=a;DNS=b"),
                vec![vec![1; 99]],
            ),
            (format!("Cert=\"{two}\",Hash=aa;Cert=\"{one}\""), vec![vec![1; 99]]),
            (format!("Chain=\"{both}\",Chain=\"{two}\""), vec![vec![2; 99]]),
            (format!("Subject=\"a\\\\\";Cert=\"{one}\""), vec![vec![1; 99]]),
        ];
        for (text, chain) in good {
            assert_eq!(read(&text).unwrap(), chain, "{text}");
        }
        let none = [format!("Cert=\"{one}\",Hash=aa"), "By=x".to_owned(), format!("Subject=\";Cert={one}\"")];
        for text in none {
            assert_eq!(read(&text).unwrap_err().code(), "certificate_missing", "{text}");
        }
    }

    #[test]
    fn what_envoy_would_not_write_is_refused() {
        let [one, two] = [[1; 99], [2; 99]].map(|der| UrlPem.write(&[der]));
        let both = UrlPem.write(&[[1; 99], [2; 99]]);
        let bad = [
            format!("Cert=\"{one}\";Cert=\"{one}\""),
            format!("Cert=\"{one}\";cert=\"{two}\""),
            format!("Cert=\"{two}\";Chain=\"{both}\""),
            format!("Cert=\"{both}\""),
            format!("Cert=\"{one}"),
            format!("Cert={one}\""),
            format!("Cert=\"{one}\";"),
            format!("Cert=\"{one}\","),
            format!(",Cert=\"{one}\""),
            format!("Cert=\"{one}\";Other=x"),
            format!("Cert =\"{one}\""),
            format!("Subject=\"a\\\";Cert=\"{one}\""),
            format!("Subject=\"a\"b\";Cert=\"{one}\""),
            format!("x,Cert=\"{one}\""),
            format!("{}Cert=\"{one}\"", "By=x,".repeat(MAX_ELEMENTS)),
            format!("{}Cert=\"{one}\"", "By=x;".repeat(MAX_PAIRS)),
            "Cert=".to_owned(),
            "\"".to_owned(),
        ];
        for text in bad {
            assert_eq!(read(&text).unwrap_err().code(), "certificate_malformed", "{text}");
        }
    }
}
