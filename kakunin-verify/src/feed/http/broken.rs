//! Why there is no connection, in words: libraries say it in the names of their types.

use std::error::Error;

use kakunin_core::time::UnixTime;
use rustls::{CertificateError, InvalidMessage, pki_types};

use crate::words::of;

/// What is behind a connection that could not be made, or broke: the innermost cause, and what to do about it.
#[must_use]
pub fn broken(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    for cause in causes(error) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return of_tls(tls);
        }
        innermost = cause;
    }
    innermost.to_string()
}

/// An error, and what is behind it; an error of I/O gives the cause of what it wraps as its own, and not what it wraps.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| {
        let cause = *cause;
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        wrapped.map(|inner| -> &(dyn Error + 'static) { inner }).or_else(|| cause.source())
    })
}

fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            format!("the certificate shown is refused: {}", of_certificate(why))
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what answers there speaks no TLS: name another port, or http".to_owned()
        }
        rustls::Error::AlertReceived(alert) => {
            format!("the other side ended TLS: {}", of(&format!("{alert:?}")))
        }
        rustls::Error::PeerIncompatible(why) => format!("no common form of TLS: {}", of(&format!("{why:?}"))),
        rustls::Error::PeerMisbehaved(why) => {
            format!("the other side broke TLS: {}", of(&format!("{why:?}")))
        }
        rustls::Error::InvalidMessage(why) => format!("what comes is no TLS: {}", of(&format!("{why:?}"))),
        other => other.to_string(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    let at = |time: &pki_types::UnixTime| UnixTime::from_secs(time.as_secs());
    match error {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("it ended at {}, and here it is {}; renew it, or set the clock", at(not_after), at(time))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!(
                "it begins at {}, and here it is {}; set the clocks of both machines",
                at(not_before),
                at(time)
            )
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // `DnsName("a.example")`, `IpAddress(127.0.0.1)`.
            let bare =
                |name: &String| name.split(['(', ')']).nth(1).unwrap_or(name).trim_matches('"').to_owned();
            let names: Vec<_> = presented.iter().map(bare).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            format!("it is for {names}, and not for {}; use a name that it has", expected.to_str())
        }
        CertificateError::UnknownIssuer => "nobody who is trusted here issued it; name its CA".to_owned(),
        CertificateError::Other(other) => of(&format!("{:?}", other.0)),
        other => of(&format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_libraries_are_not_shown() {
        let seconds = |s| pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(s));
        let certificate = |why| rustls::Error::InvalidCertificate(why);
        for (error, said) in [
            (
                certificate(CertificateError::NotValidYetContext {
                    time: seconds(0),
                    not_before: seconds(86_400),
                }),
                "begins at 1970-01-02T00:00:00.000Z, and here it is 1970-01-01T00:00:00.000Z",
            ),
            (
                certificate(CertificateError::ExpiredContext { time: seconds(60), not_after: seconds(0) }),
                "ended at 1970-01-01T00:00:00.000Z, and here it is 1970-01-01T00:01:00.000Z",
            ),
            (certificate(CertificateError::UnknownIssuer), "nobody who is trusted"),
            (certificate(CertificateError::BadSignature), "bad signature"),
            (rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure), "handshake failure"),
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), "speaks no TLS"),
        ] {
            let said_of = broken(&std::io::Error::other(error));
            assert!(said_of.contains(said) && !said_of.contains(['{', '(']), "{said_of}");
        }
        assert_eq!(broken(&std::io::Error::other("gone")), "gone");
    }
}
