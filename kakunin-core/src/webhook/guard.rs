//! Where nothing is sent to: one decision, for whoever makes an endpoint, and for each connection.

use std::net::IpAddr;

use super::address::{Barred, barred, carried};
use super::allow::Allow;
use super::url::{Host, WebhookUrl};

/// Where deliveries may go. By default to public addresses alone, and by TLS alone.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Places that are connected to although they are not public.
    pub allow: Vec<Allow>,
    /// Whether a URL may be of http: everybody on the way reads what happened, and can keep it back. Insecure.
    pub http: bool,
}

/// Why nothing is sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// In the clear.
    #[error(
        "deliveries go by https alone; name a URL of https, or have whoever operates the deployment allow http"
    )]
    Clear,
    /// Its host is read as another one by the HTTP client.
    #[error("the host of the URL is no name in DNS; write it in lower case, and other scripts in Punycode")]
    Url,
    /// Not an address of the public. Which one it is a tenant is not told.
    #[error("the host is at {why}, and not among those that this deployment allows", why = .1.as_str())]
    Barred(IpAddr, Barred),
}

impl GuardError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Clear => "webhook_url_insecure",
            Self::Url => "webhook_url_malformed",
            Self::Barred(..) => "webhook_address_barred",
        }
    }
}

impl Guard {
    /// Whether something may be sent to this URL, as far as it says by itself: names are looked up for each connection.
    ///
    /// # Errors
    /// [`GuardError`].
    pub fn check_url(&self, url: &WebhookUrl) -> Result<(), GuardError> {
        if !url.is_https() && !self.http {
            return Err(GuardError::Clear);
        }
        match url.host() {
            Host::Address(address) => self.check_address(*address),
            Host::Name(_) => Ok(()),
        }
    }

    /// Whether somebody of this name may be connected to at all of these addresses.
    ///
    /// # Errors
    /// [`GuardError::Barred`] names the first that may not.
    pub fn check_host(&self, name: &str, addresses: &[IpAddr]) -> Result<(), GuardError> {
        if self.allow.iter().any(|allow| allow.is_host(name)) {
            return Ok(());
        }
        addresses.iter().try_for_each(|address| self.check_address(*address))
    }

    fn check_address(&self, address: IpAddr) -> Result<(), GuardError> {
        let allowed = |address: IpAddr| self.allow.iter().any(|allow| allow.has(address));
        let carried = carried(address);
        // Of who is behind another address each has to be allowed, or public.
        let good = |address: IpAddr| barred(address).is_none() || allowed(address);
        let behind = !carried.is_empty() && carried.into_iter().all(|v4| good(v4.into()));
        match barred(address) {
            Some(why) if !allowed(address) && !behind => Err(GuardError::Barred(address, why)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, url: &str) -> Result<(), GuardError> {
        guard.check_url(&WebhookUrl::parse(url).unwrap())
    }

    #[test]
    fn by_default_it_is_tls_to_the_public() {
        let guard = Guard::default();
        assert_eq!(check(&guard, "https://1.1.1.1/x"), Ok(()));
        assert_eq!(check(&guard, "https://localhost/x"), Ok(()), "names are looked up when it is sent");
        assert_eq!(check(&guard, "http://1.1.1.1/x"), Err(GuardError::Clear));
        for barred in
            ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]"]
        {
            let refused = check(&guard, &format!("https://{barred}/"));
            assert!(matches!(refused, Err(GuardError::Barred(..))), "{barred}: {refused:?}");
        }
    }

    #[test]
    fn one_barred_address_bars_the_name() {
        let guard = Guard::default();
        let (public, private) = ("1.1.1.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
        assert_eq!(guard.check_host("a.example", &[public]), Ok(()));
        let refused = Err(GuardError::Barred(private, Barred::Private));
        assert_eq!(guard.check_host("a.example", &[public, private]), refused);
        assert_eq!(guard.check_host("a.example", &[private, public]), refused);
    }

    #[test]
    fn what_is_allowed_is_reached_and_nothing_beside_it() {
        let allow = ["10.1.0.0/16", "inner.example"].map(|text| text.parse().unwrap()).to_vec();
        let guard = Guard { allow, http: true };
        for allowed in [
            "http://10.1.2.3",
            "https://[::ffff:10.1.2.3]",
            "https://[64:ff9b::10.1.2.3]",
            "https://[2002:a01:203::]",
        ] {
            assert_eq!(check(&guard, allowed), Ok(()), "{allowed}");
        }
        for barred in [
            "https://10.2.0.0",
            "https://[::ffff:10.2.0.0]",
            "https://127.0.0.1",
            "https://[2001:0:a01:203::80ff:fffe]",
        ] {
            assert!(check(&guard, barred).is_err(), "{barred}");
        }
        let here = ["127.0.0.1".parse().unwrap()];
        assert_eq!(guard.check_host("inner.example", &here), Ok(()));
        assert!(guard.check_host("other.example", &here).is_err());
    }
}
