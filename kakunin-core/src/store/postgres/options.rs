//! Where the database is.

use std::fmt;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::tls::{Tls, Trust};
use crate::error::StoreError;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// After how long a connection on which nothing is acknowledged is given up.
const SILENT: Duration = Duration::from_secs(10);

/// Where the database is, and as whom it is used. The password is shown nowhere.
#[derive(Clone)]
pub struct PostgresOptions {
    config: Config,
    tls: Tls,
}

impl PostgresOptions {
    /// Reads a URL, `postgres://user:password@host:5432/database?sslmode=verify-full`, as libpq does. `sslmode` is `disable`,
    /// `prefer`, `require`, `verify-ca` or `verify-full`; certificates are checked from `verify-ca` on, or where `sslrootcert` names
    /// a file of roots, and by the system's roots without one.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] for what is no such URL; it repeats nothing of it.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |why: &str| {
            StoreError::Foreign(format!(
                "the URL of the database cannot be used: {why}; write postgres://user:password@host/database"
            ))
        };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("it does not begin with postgres://"));
        }
        // A password may have a question mark in it.
        let host = url.find('@').unwrap_or_default();
        let question = url.get(host..).and_then(|rest| rest.find('?')).map_or(url.len(), |at| host + at);
        let (base, query) = url.split_at(question);
        let query = query.trim_start_matches('?');
        let (mut mode, mut roots, mut rest) = ("prefer".to_owned(), None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value.to_owned(),
                Some(("sslrootcert", value)) => roots = Some(unescaped(value)),
                _ => rest.push(pair),
            }
        }
        let url = format!("{base}?{}", rest.join("&"));
        // What the parser says may repeat parts of a password.
        let mut config: Config = url.parse().map_err(|_| wrong("it is not read as one"))?;
        let nameless = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
        let hostless = config.get_hosts().is_empty() || config.get_hosts().iter().any(nameless);
        if hostless || config.get_dbname().is_none() || config.get_user().is_none() {
            return Err(wrong("it has to name a host, a user and a database"));
        }
        let (ssl, trust) = match (mode.as_str(), roots.is_some()) {
            ("disable", _) => (SslMode::Disable, Trust::Anybody),
            ("prefer", _) => (SslMode::Prefer, Trust::Anybody),
            ("require", false) => (SslMode::Require, Trust::Anybody),
            ("require", true) | ("verify-ca", _) => (SslMode::Require, Trust::Chain),
            ("verify-full", _) => (SslMode::Require, Trust::Host),
            _ => {
                return Err(wrong("its sslmode is none of disable, prefer, require, verify-ca, verify-full"));
            }
        };
        let local = config.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_)));
        // Nobody is between a process and a socket of its machine.
        config.ssl_mode(if local { SslMode::Disable } else { ssl });
        config.connect_timeout(CONNECT).tcp_user_timeout(SILENT);
        config.keepalives_idle(SILENT / 2).keepalives_interval(SILENT / 5).keepalives_retries(3);
        Ok(Self { tls: Tls::new(trust, roots.as_deref())?, config })
    }

    /// Host and database, as people name them: `db.example/kakunin`.
    #[must_use]
    pub fn place(&self) -> String {
        let host = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(folder) => folder.display().to_string(),
        };
        let hosts: Vec<_> = self.config.get_hosts().iter().map(host).collect();
        format!("{}/{}", hosts.join(","), self.config.get_dbname().unwrap_or_default())
    }

    /// How to connect, with these settings of the server's for the session.
    pub(super) fn config(&self, name: &str, settings: &str) -> Config {
        let mut config = self.config.clone();
        config.application_name(format!("kakunin {name}"));
        let own = config.get_options().map(|own| format!("{own} ")).unwrap_or_default();
        config.options(format!("{own}{settings}"));
        config
    }

    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The login.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// Whether somebody between could answer in the database's place.
    pub(super) fn is_unchecked(&self) -> bool {
        let local = |host: &Host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        !self.tls.checks() && !self.config.get_hosts().iter().all(local)
    }
}

/// Percent-encoding undone.
fn unescaped(text: &str) -> String {
    let (mut octets, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        let digits = rest.split_at_checked(2).filter(|_| octet == b'%');
        let escaped = digits.and_then(|(digits, behind)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, behind))
        });
        match escaped {
            Some((octet, behind)) => {
                octets.push(octet);
                rest = behind;
            }
            None => octets.push(octet),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hosts, database) = (self.config.get_hosts(), self.config.get_dbname().unwrap_or_default());
        write!(f, "PostgresOptions({} at {hosts:?}, database {database})", self.user())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let options =
            PostgresOptions::parse("postgres://app:s3cret@db.example:5433/k?sslmode=require").unwrap();
        let asks = PostgresOptions::parse("postgres://app:s3cret?sslmode=none@db.example:5433/k").unwrap();
        let shown = format!("{options:?} {asks:?}");
        assert!(shown.contains("db.example") && !shown.contains("s3cret"), "{shown}");
        for wrong in [
            "postgres://app:s3cret@db.example/k?s3cret=s3cret",
            "postgres://app:s3cret@db.example/k?sslmode=s3cret",
            "host=db.example password=s3cret",
            "postgres://app:s3cret@db.example",
            "postgres://app:s3cret@/k",
        ] {
            let refused = PostgresOptions::parse(wrong);
            assert!(refused.is_err(), "{wrong}");
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("postgres://user") && !refused.contains("s3cret"), "{refused}");
        }
    }

    #[test]
    fn a_file_of_roots_that_is_not_there_is_an_error() {
        let url = "postgres://app@db.example/k?sslmode=verify-full&sslrootcert=no%2Fsuch";
        let refused = PostgresOptions::parse(url).unwrap_err().to_string();
        assert!(refused.contains("no/such"), "{refused}");
    }
}
