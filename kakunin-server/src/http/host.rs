//! Whom a request is for, said once (RFC 9112, 3.2; RFC 9113, 8.3.1): who stands in front of this server must not have
//! read another name than it does.

use axum::http::request::Parts;
use axum::http::uri::{Authority, Scheme};
use axum::http::{Version, header};

use super::error::ApiError;

/// Refuses a request that names no host, two, or none that can be one. Over HTTP/1.1 the name in a request line wins over
/// the field, which has to be there all the same; over HTTP/2 both are to be the same.
pub(crate) fn check(parts: &Parts) -> Result<(), ApiError> {
    let mut values = parts.headers.get_all(header::HOST).iter();
    let (host, more) = (values.next(), values.next().is_some());
    let of_target = parts.uri.authority();
    let multiplexed = parts.version >= Version::HTTP_2;
    let (Some(host), false) = (host, more) else {
        let named = multiplexed && of_target.is_some_and(is_host) || parts.version <= Version::HTTP_10;
        return if named && !more { Ok(()) } else { Err(invalid("send the `Host` field, once")) };
    };
    let host = host.to_str().ok().and_then(|text| text.parse::<Authority>().ok()).filter(is_host);
    let Some(host) = host.filter(|_| of_target.is_none_or(is_host)) else {
        return Err(invalid("the `Host` field is HOST or HOST:PORT"));
    };
    let same = |target: &Authority| same(target, &host, parts.uri.scheme());
    if multiplexed && of_target.is_some_and(|target| !same(target)) {
        return Err(invalid("`:authority` and the `Host` field name different hosts; leave the field out"));
    }
    Ok(())
}

fn invalid(sentence: &str) -> ApiError {
    ApiError::bad_request("host_invalid", sentence)
}

/// No user, and a port that is a number if there is one.
fn is_host(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    let port = port.map(|port| port.strip_prefix(':').unwrap_or(port));
    !authority.host().is_empty() && port.is_some_and(|port| port.is_empty() || authority.port_u16().is_some())
}

fn same(one: &Authority, other: &Authority, scheme: Option<&Scheme>) -> bool {
    let usual = if scheme == Some(&Scheme::HTTP) { 80 } else { 443 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn passes(version: Version, target: &str, hosts: &[&str]) -> bool {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        check(&request.body(()).unwrap().into_parts().0).is_ok()
    }

    #[test]
    fn a_request_names_one_host() {
        let one = |host: &str| passes(Version::HTTP_11, "/", &[host]);
        for host in
            ["a", "a.example", "a.example:8443", "10.0.0.1:80", "[::1]", "[::1]:80", "localhost", "A:"]
        {
            assert!(one(host), "{host}");
        }
        for host in [
            "", " ", ":80", "user@a", "a:x", "a:65536", "a/b", "a b", "a, b", "http://a", "[::1", "a:1:2",
            "a#",
        ] {
            assert!(!one(host), "{host:?}");
        }
        assert!(!passes(Version::HTTP_11, "/", &[]) && !passes(Version::HTTP_11, "/", &["a", "a"]));
        assert!(passes(Version::HTTP_10, "/", &[]) && !passes(Version::HTTP_10, "/", &["a", "b"]));
        assert!(
            !passes(Version::HTTP_11, "http://a/", &[])
                && !passes(Version::HTTP_11, "http://a/", &["a", "a"])
        );
        assert!(passes(Version::HTTP_11, "http://a/", &["b"]), "the target's is the one that counts");
        for (target, hosts, expected) in [
            ("https://a/", &[][..], true),
            ("https://a/", &["A"], true),
            ("https://a:443/", &["a"], true),
            ("http://a/", &["a:80"], true),
            ("https://a/", &["a:80"], false),
            ("https://a/", &["b"], false),
            ("https://a/", &["a", "a"], false),
            ("https://user@a/", &[], false),
            ("/", &["a"], true),
            ("/", &[], false),
        ] {
            assert_eq!(passes(Version::HTTP_2, target, hosts), expected, "{target} {hosts:?}");
        }
    }
}
