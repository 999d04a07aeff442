//! Gateways that ask for those who connect to them, and how each hands over their certificates.
//!
//! Nobody else is believed about certificates: a proxy that is trusted about addresses passes on what strangers write
//! into any field.

use std::fmt;
use std::str::FromStr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use kakunin_verify::denied::Code;
use kakunin_verify::possession::CertificateEncoding;

use super::looks::{USUAL_FIELDS, looks_like};
use super::refusal::refusal;
use crate::http::counts::CERTIFICATES_UNREADABLE;
use crate::http::error::ApiError;
use crate::http::peer::{Network, NetworkError, Peer};

const CHAIN_HEADER: &str = "client-cert-chain";

/// A gateway, where it asks from, and the one field in the one form in which it hands certificates over.
///
/// ```
/// use kakunin_server::http::GatewayProxy;
///
/// assert!("10.0.0.5=nginx".parse::<GatewayProxy>().is_ok());
/// assert!("10.0.1.0/24=haproxy:x-agent-cert".parse::<GatewayProxy>().is_ok());
/// assert!("10.0.0.5=any".parse::<GatewayProxy>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayProxy {
    network: Network,
    encoding: CertificateEncoding,
    header: HeaderName,
}

/// Not a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayProxyError {
    /// No `=`, or no known form after it.
    #[error(
        "not a gateway: write `10.1.2.3=nginx`, or caddy, envoy, haproxy, rfc9440 or traefik, and `:FIELD` after it for another field"
    )]
    Form,
    /// What stands before the `=` is no network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What stands after the `:` is no field name.
    #[error("not a header field: write its name in lower case, such as `x-client-cert`")]
    Header,
}

impl FromStr for GatewayProxy {
    type Err = GatewayProxyError;

    fn from_str(text: &str) -> Result<Self, GatewayProxyError> {
        let (network, form) = text.split_once('=').ok_or(GatewayProxyError::Form)?;
        let (form, header) = form.split_once(':').map_or((form, None), |(form, header)| (form, Some(header)));
        let (encoding, usual) = match form {
            "caddy" | "haproxy" => (CertificateEncoding::Base64, "x-client-cert"),
            "envoy" => (CertificateEncoding::Xfcc, "x-forwarded-client-cert"),
            "nginx" => (CertificateEncoding::UrlPem, "x-client-cert"),
            "rfc9440" => (CertificateEncoding::ByteSequence, "client-cert"),
            "traefik" => (CertificateEncoding::Base64List, "x-forwarded-tls-client-cert"),
            _ => return Err(GatewayProxyError::Form),
        };
        let header = HeaderName::from_lowercase(header.unwrap_or(usual).as_bytes());
        let header = header.map_err(|_| GatewayProxyError::Header)?;
        Ok(Self { network: network.parse()?, encoding, header })
    }
}

impl fmt::Display for GatewayProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in `{}` ({})", self.network, self.header, self.form())
    }
}

impl GatewayProxy {
    /// Where it asks from.
    pub(crate) const fn network(&self) -> Network {
        self.network
    }

    /// The gateway that a request comes from: of those that are configured, the one of the smallest network.
    pub(super) fn of<'g>(parts: &Parts, gateways: &'g [Self]) -> Option<&'g Self> {
        let address = parts.extensions.get::<Peer>()?.address.ip();
        let here = gateways.iter().filter(|gateway| gateway.network.contains(address));
        here.reduce(|best, other| if other.network.bits() > best.network.bits() { other } else { best })
    }

    /// Two that are of one network and differ, so that nobody can say in which form it is believed.
    #[must_use]
    pub fn ambiguous(gateways: &[Self]) -> Option<&Self> {
        let clash = |a: &&Self| gateways.iter().any(|b| a.network.same(b.network) && *a != b);
        gateways.iter().find(clash)
    }

    const fn form(&self) -> &'static str {
        match self.encoding {
            CertificateEncoding::UrlPem => "escaped PEM",
            CertificateEncoding::Base64 => "base64",
            CertificateEncoding::Base64List => "base64 list",
            CertificateEncoding::Xfcc => "XFCC",
            _ => "RFC 9440",
        }
    }

    /// The certificates that it hands over in the request that it makes, leaf first.
    pub(super) fn certificates(&self, parts: &Parts) -> Result<Vec<Vec<u8>>, ApiError> {
        if let Some(chain) = self.handed_over(&parts.headers, parts)? {
            return Ok(chain);
        }
        // Not sent empty, as it is for a client without a certificate: perhaps it stands elsewhere.
        let other = |name: &&&str| parts.headers.get(**name).is_some_and(|value| !value.is_empty());
        if !parts.headers.contains_key(&self.header)
            && let Some(name) = USUAL_FIELDS.iter().find(other)
        {
            self.unreadable(name, &parts.headers, parts);
        }
        Err(refusal(&Code::CertificateMissing.into()))
    }

    /// The certificates in fields that it sent `from` its place; none if its client showed none.
    pub(super) fn handed_over(
        &self,
        headers: &HeaderMap,
        from: &Parts,
    ) -> Result<Option<Vec<Vec<u8>>>, ApiError> {
        let field = one(headers, self.header.as_str())?.unwrap_or_default();
        if field.is_empty() {
            return Ok(None);
        }
        let read = |name: &str, field: &str| match self.encoding.read(field) {
            // Whatever is encoded so, it is no certificate unless it is a SEQUENCE.
            Ok(chain) if chain.iter().all(|der| der.first() == Some(&0x30)) => Ok(Some(chain)),
            Err(denied) if denied.kind() == Code::CertificateMissing => Ok(None),
            _ => Err(self.unreadable(name, headers, from)),
        };
        let Some(mut chain) = read(self.header.as_str(), field)? else { return Ok(None) };
        if self.encoding == CertificateEncoding::ByteSequence {
            if chain.len() != 1 {
                return Err(repeated(self.header.as_str()));
            }
            if let Some(rest) = one(headers, CHAIN_HEADER)? {
                chain.extend(
                    read(CHAIN_HEADER, rest)?.ok_or_else(|| self.unreadable(CHAIN_HEADER, headers, from))?,
                );
            }
        }
        Ok(Some(chain))
    }

    /// Tells the operator, who alone can mend it, which form was expected where, and what came instead: seldom, and
    /// without what the field holds. The agent has done nothing wrong.
    fn unreadable(&self, found: &str, headers: &HeaderMap, from: &Parts) -> ApiError {
        let expected = self.form();
        if CERTIFICATES_UNREADABLE.count() {
            let field = headers.get(found).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let gateway = from.extensions.get::<Peer>().map(|peer| peer.address.ip().to_canonical());
            tracing::warn!(
                gateway = gateway.map(tracing::field::display),
                field = found,
                expected_field = self.header.as_str(),
                expected,
                looks_like = looks_like(field),
                "a gateway hands over no certificate in the form and field that --gateway names"
            );
        }
        let sentence = format!(
            "`{found}` does not hold a certificate as {expected}, the form configured for this gateway; have its operator compare --gateway with what it sends"
        );
        ApiError::gateway(401, "certificate_malformed", sentence)
    }
}

/// The one value of a field: two could be read differently by others.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| repeated(name)),
        (Some(_), Some(_)) => Err(repeated(name)),
    }
}

fn repeated(name: &str) -> ApiError {
    let sentence = format!("`{name}` has to come once, in visible ASCII characters");
    ApiError::gateway(401, "headers_invalid", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_network_and_a_form() {
        let read = |text: &str| text.parse::<GatewayProxy>();
        let envoy = read("fd00::/8=envoy").unwrap();
        assert_eq!(
            (envoy.encoding, envoy.header.as_str()),
            (CertificateEncoding::Xfcc, "x-forwarded-client-cert")
        );
        assert_eq!(read("10.0.0.1=nginx:x-a").unwrap().header.as_str(), "x-a");
        for bad in ["", "nginx", "10.0.0.1", "10.0.0.1=", "10.0.0.1=xfcc", "10.0.0.1=Nginx"] {
            assert_eq!(read(bad), Err(GatewayProxyError::Form), "{bad}");
        }
        for bad in ["10.0.0.1=nginx:", "10.0.0.1=nginx:X-A", "10.0.0.1=nginx:a b"] {
            assert_eq!(read(bad), Err(GatewayProxyError::Header), "{bad}");
        }
        let clash =
            |texts: [&str; 2]| GatewayProxy::ambiguous(&texts.map(|text| read(text).unwrap())).is_some();
        assert!(
            clash(["10.0.0.1=nginx", "::ffff:10.0.0.1=envoy"])
                && clash(["10.0.0.0/8=nginx", "10.9.9.9/8=caddy"])
        );
        assert!(
            !clash(["10.0.0.0/8=nginx", "10.0.0.1=envoy"]) && !clash(["10.0.0.1=nginx", "10.0.0.1=nginx"])
        );
        assert_eq!(envoy.to_string(), "fd00::/8 in `x-forwarded-client-cert` (XFCC)");
        assert_eq!(read("10.0.0.0/99=nginx"), Err(GatewayProxyError::Network(NetworkError)));
    }
}
