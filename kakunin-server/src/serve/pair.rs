//! How long a TLS pair is good, and for whom; what is said of it before it is too late.

use kakunin_core::time::{SECOND, UnixTime};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::http::{Pair, Standing};

/// What is known of a chain, leaf first, that is sent to whoever reaches `host`; nothing if there is none, or one that
/// cannot be read, which TLS does not need to.
pub(super) fn pair_of(chain: &[CertificateDer<'_>], host: Option<&str>) -> Option<Pair> {
    let (mut not_before, mut not_after) = (UnixTime::default(), UnixTime::MAX_X509);
    for der in chain {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let at = |time: &x509_cert::time::Time| UnixTime::from_secs(time.to_unix_duration().as_secs());
        // Whoever has the root by other means does not look at one that is sent.
        if certificate.tbs_certificate().issuer() == certificate.tbs_certificate().subject()
            && chain.first() != Some(der)
        {
            continue;
        }
        not_before = not_before.max(at(&validity.not_before));
        // To the end of that second.
        not_after = not_after.min(at(&validity.not_after).plus(SECOND - 1));
    }
    let names_us = host.is_none_or(|host| chain.first().is_some_and(|leaf| names(leaf, host)));
    Some(Pair { not_before, not_after, names_us })
}

fn names(leaf: &CertificateDer<'_>, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let (Ok(name), Ok(parsed)) = (ServerName::try_from(host), ParsedCertificate::try_from(leaf)) else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

/// The host of a public URL, if whoever follows it speaks TLS.
pub(super) fn host_of(public_url: &str) -> Option<String> {
    let rest = public_url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let name =
        authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|octet| octet.is_ascii_digit()));
    Some(name.map_or(authority, |(host, _)| host).to_owned())
}

/// What was said last of a pair: how it stands, how many days are left, and whether its names fit.
pub(super) type Told = Option<(Standing, u64, bool)>;

/// Says what is wrong with the pair in use, once a day and whenever that changes.
pub(super) fn warn(pair: Option<Pair>, now: UnixTime, public_url: &str, told: &mut Told) {
    let news = pair.map(|pair| {
        let standing = pair.standing(now);
        let days =
            if standing == Standing::Good { 0 } else { pair.not_after.since(now) / kakunin_core::time::DAY };
        (standing, days, pair.names_us)
    });
    if news == *told {
        return;
    }
    if let (Some(pair), Some((standing, days, names_us))) = (pair, news) {
        let (ends, begins) = (pair.not_after, pair.not_before);
        match standing {
            Standing::Good if told.is_some_and(|(before, ..)| before > Standing::Good) => {
                tracing::info!(%ends, "the TLS certificate is good again");
            }
            Standing::Good => {}
            Standing::Ending => {
                tracing::warn!(%ends, days, "the TLS certificate ends soon: put a new pair in its place")
            }
            Standing::NotYetValid => {
                tracing::error!(%begins, "the TLS certificate is not valid yet: clients refuse it; is the clock right?");
            }
            Standing::Expired => {
                tracing::error!(%ends, "the TLS certificate has expired: clients refuse it; put a new pair in its place");
            }
        }
        if !names_us && told.is_none_or(|(_, _, named)| named) {
            tracing::warn!(
                public_url,
                "the TLS certificate is for another name than the public URL's: clients that follow that refuse it"
            );
        }
    }
    *told = news;
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn a_public_url_has_a_host_for_tls() {
        for (url, host) in [
            ("https://ca.example", Some("ca.example")),
            ("https://ca.example:8443/pki", Some("ca.example")),
            ("https://[2001:db8::1]:8443", Some("[2001:db8::1]")),
            ("https://192.0.2.1/", Some("192.0.2.1")),
            ("http://ca.example", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
