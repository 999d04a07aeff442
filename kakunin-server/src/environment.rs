//! Variables that look like the server's, and are not.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::CommandFactory;
use kakunin_server::client::KEY_VARIABLE;

use crate::arguments::Arguments;

const PREFIX: &str = "KAKUNIN_";

/// Warns of each variable `KAKUNIN_...` that no command reads. In a file such a name is an error; an environment is shared, so
/// here it is not. What it holds is not logged.
pub(crate) fn warn_of_unknown() {
    let known = known();
    for (variable, value) in std::env::vars_os() {
        let variable = variable.to_string_lossy();
        let upper = variable.to_uppercase();
        if !upper.starts_with(PREFIX) || known.contains(&*variable) || is_of_a_service(&upper, &value) {
            continue;
        }
        match nearest(&upper, &known) {
            Some(nearest) => {
                tracing::warn!(%variable, nearest, "this variable is not known, and does nothing: is another meant?")
            }
            None => tracing::warn!(%variable, "this variable is not known, and does nothing"),
        }
    }
}

/// All that any command reads.
fn known() -> BTreeSet<String> {
    fn add(command: &clap::Command, known: &mut BTreeSet<String>) {
        let names = command.get_arguments().filter_map(|argument| argument.get_env());
        known.extend(names.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|command| add(command, known));
    }
    let mut known = BTreeSet::new();
    add(&Arguments::command(), &mut known);
    known.insert(KEY_VARIABLE.to_owned());
    known
}

/// Kubernetes tells each container of every service: those of one that is called `kakunin` begin like ours.
fn is_of_a_service(name: &str, value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_port = name.split("_PORT_").nth(1).is_some_and(|rest| {
        let mut parts = rest.split('_');
        let number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        number && parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol))
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || is_port
        || name.ends_with("_PORT") && is_url
}

/// The one that is most like it, if one is.
fn nearest<'k>(name: &str, known: &'k BTreeSet<String>) -> Option<&'k str> {
    let far = |known: &&String| distance(name.trim_start_matches(PREFIX), known.trim_start_matches(PREFIX));
    let nearest = known.iter().min_by_key(far)?;
    let len = nearest.len() - PREFIX.len();
    (far(&nearest) <= (len / 3).max(1)).then_some(nearest)
}

/// How many characters are to be added, taken away or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((y, from), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            next.push((from + usize::from(x != *y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_known_near_or_neither() {
        let known = known();
        assert!(known.contains("KAKUNIN_DATA") && known.contains("KAKUNIN_LOG_JSON") && known.len() > 20);
        let near = |name: &str| nearest(name, &known).map(str::to_owned);
        assert_eq!(near("KAKUNIN_LISTN").as_deref(), Some("KAKUNIN_LISTEN"));
        assert_eq!(near("KAKUNIN_TRUSTED_PROXIES").as_deref(), Some("KAKUNIN_TRUSTED_PROXY"));
        assert_eq!(near("KAKUNIN_PUBLICURL").as_deref(), Some("KAKUNIN_PUBLIC_URL"));
        assert_eq!((near("KAKUNIN_BENCH_ROUNDS"), near("KAKUNIN_")), (None, None));
        let service = |name: &str, value: &str| is_of_a_service(name, value.as_ref());
        for name in
            ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTPS", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"]
        {
            assert!(service(&format!("KAKUNIN_{name}"), "10.0.0.1"), "{name}");
        }
        assert!(service("KAKUNIN_PORT", "tcp://10.0.0.1:8080") && !service("KAKUNIN_PORT", "8080"));
        assert!(!service("KAKUNIN_LISTN", "tcp://x") && !service("KAKUNIN_PORT_X", "1"));
    }
}
