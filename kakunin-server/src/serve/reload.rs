//! A new configuration for a server that runs.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use kakunin_verify::dry_run::DryRun;

use super::exposed;
use super::files::Watch;
use super::listening::{Listening, Settings};
use super::options::{ServeError, ServeOptions};
use crate::http::{self, App};

/// Gives a running server other options. Clones are of the same server.
#[derive(Clone, Debug)]
pub struct Reloads {
    pub(super) listening: Arc<Listening>,
    pub(super) watch: Arc<Watch>,
    /// What is in force.
    pub(super) now: Arc<Mutex<(ServeOptions, App)>>,
}

/// What became of new options, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// In force from now on.
    pub changed: Vec<&'static str>,
    /// As they were: these take a restart.
    pub kept: Vec<&'static str>,
}

impl Reloads {
    /// Puts options in force, all that can be, or none. The TLS files are read again, whether they changed or not. Requests
    /// from now on see it, also on connections that are open; how long one may be idle, those that are opened.
    ///
    /// # Errors
    /// [`ServeError`]: everything stays as it was.
    pub fn apply(&self, new: &ServeOptions) -> Result<Reloaded, ServeError> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, app) = &*now;
        new.check()?;
        for path in new.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]) {
            kakunin_kms::private::given(path)?;
        }
        let (mut done, mut options) = (compare(old, new), new.clone());
        options.keep_what_is_fixed(old);
        let pair = match (&self.listening.tls, &options.tls) {
            (Some(reloading), Some(files)) => Some((reloading, files, reloading.load_again(files)?)),
            _ => None,
        };
        let api = http::ApiOptions { new_deployment: app.options.new_deployment, ..options.api.clone() };
        let app = app.reconfigured(api)?;
        // Nothing fails from here on.
        if let Some((reloading, files, loaded)) = pair
            && reloading.put(files, loaded)
            && !done.changed.contains(&"tls-cert")
        {
            done.changed.push("what is in the TLS files");
        }
        self.listening.set(Settings::of(&options, http::router_of(app.clone())));
        self.watch.set_files(exposed::watched(&options));
        self.watch.look();
        if done.changed.iter().any(|name| name.starts_with("insecure-dry-run")) {
            options.warn_of_dry_runs();
        }
        *now = (options, app);
        Ok(done)
    }
}

const fn dry_run_of(options: &ServeOptions) -> &DryRun {
    &options.api.insecure_dry_run
}

/// Which options differ: those that can change, and those that cannot.
fn compare(old: &ServeOptions, new: &ServeOptions) -> Reloaded {
    fn differ<T: Debug>(old: T, new: T) -> bool {
        format!("{old:?}") != format!("{new:?}")
    }
    let tls =
        |options: &ServeOptions| options.tls.as_ref().map(|tls| (tls.certificate.clone(), tls.key.clone()));
    let named = |options: &ServeOptions| options.shadow_model.as_ref().map(ToString::to_string);
    let clients = |options: &ServeOptions| options.tls.as_ref().is_some_and(|tls| tls.client_certificates);
    let is_switched = old.tls.is_some() != new.tls.is_some();
    let changed = [
        ("tls-cert", !is_switched && tls(old) != tls(new)),
        ("client-certificates", !is_switched && clients(old) != clients(new)),
        ("trusted-proxy", differ(&old.api.trusted_proxies, &new.api.trusted_proxies)),
        ("gateway", differ(&old.api.gateways, &new.api.gateways)),
        ("authority", differ(&old.api.authorities, &new.api.authorities)),
        ("key-rate", old.api.key_rate != new.api.key_rate),
        ("anonymous-rate", old.api.anonymous_rate != new.api.anonymous_rate),
        ("connections-per-address", old.connections_per_address != new.connections_per_address),
        ("keep-alive", old.patience != new.patience),
        ("insecure-serial-only", old.api.insecure_serial_only != new.api.insecure_serial_only),
        ("insecure-dry-run-tenant", dry_run_of(old).tenants() != dry_run_of(new).tenants()),
        ("insecure-dry-run-route", dry_run_of(old).routes() != dry_run_of(new).routes()),
    ];
    let kept = [
        ("data", old.data != new.data),
        ("database", differ(old.database.as_ref().map(|d| &d.url), new.database.as_ref().map(|d| &d.url))),
        ("seal", old.database.as_ref().map(|d| &d.seal) != new.database.as_ref().map(|d| &d.seal)),
        ("listen", old.listen != new.listen),
        ("public-url", old.public_url != new.public_url),
        ("trust-domain", old.trust_domain != new.trust_domain),
        ("keys", old.keys != new.keys),
        ("ca-algorithm", old.ca_algorithm != new.ca_algorithm),
        ("default-model", old.default_model.to_string() != new.default_model.to_string()),
        ("shadow-model", named(old) != named(new)),
        ("key-file", old.key_file != new.key_file),
        ("guard", old.guard != new.guard),
        ("tls-cert", is_switched),
        ("believe-clock", old.believe_clock != new.believe_clock),
        ("renewal-grace", old.renewal_grace != new.renewal_grace),
        ("default-policy", old.default_policy != new.default_policy),
        ("webhook-allow", differ(&old.webhooks.allow, &new.webhooks.allow)),
        ("webhook-trust", old.webhooks.trust != new.webhooks.trust),
        ("insecure-webhook-http", old.webhooks.insecure_http != new.webhooks.insecure_http),
        ("feed-subscribers", old.api.feed_subscribers != new.api.feed_subscribers),
        (
            "feed-subscribers-per-address",
            old.api.feed_subscribers_per_address != new.api.feed_subscribers_per_address,
        ),
        ("insecure-plain-http", old.insecure_plain_http != new.insecure_plain_http),
        ("insecure-software-keys", old.insecure_software_keys != new.insecure_software_keys),
    ];
    let names =
        |all: &[(&'static str, bool)]| all.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    Reloaded { changed: names(&changed), kept: names(&kept) }
}
