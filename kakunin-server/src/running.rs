//! `kakunin serve`: started, told to read its configuration again, and ended.

use std::process::ExitCode;

use clap::Parser;
use kakunin_server::logging::{self, Level, Log};
use kakunin_server::serve::{Reloads, ServeError, ServeOptions, Server, stop_on_signals};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::arguments::{Arguments, Command};
use crate::config::{Logging, Serve};
use crate::{chain, ended, environment, in_runtime, print};

pub(crate) fn run(serve: Serve) -> ExitCode {
    // First, so that what follows is told in its form.
    let log = logging::start(Level::Info, serve.wants_json());
    match serve.options() {
        Ok((options, logging)) => {
            log.set_level(logging.level);
            environment::warn_of_unknown();
            ended(in_runtime(until_told(options, logging, &log)))
        }
        Err(error) => ended(Err(error)),
    }
}

async fn until_told(options: ServeOptions, logging: Logging, log: &Log) -> Result<(), ServeError> {
    let mut stop = stop_on_signals()?;
    // From now on it ends nothing; one that comes before there is anything to change is heeded then.
    let hangups = signal(SignalKind::hangup())?;
    // Opening a deployment waits for its keys, which may be far away.
    let server = tokio::select! {
        server = Server::bind(&options) => server?,
        _ = stop.changed() => return Ok(()),
    };
    let url = server.url()?;
    let deployment = server.deployment();
    match (&deployment.admin_key, &deployment.admin_key_file) {
        // Not the key: what is printed ends in journals.
        (Some(_), Some(file)) => {
            print(&format!("kakunin: new deployment; its admin key is in {}", file.display()));
        }
        // There is no folder that it could lie in.
        (Some(key), None) => {
            let key = key.reveal();
            print(&format!("kakunin: new deployment; its admin key, which is shown this once: {key}"));
        }
        (None, _) => {}
    }
    if !deployment.kakunin.has_admin_key() {
        let how = match &options.database {
            None => format!("with the server stopped, `kakunin admin-key --data {}`", options.data.display()),
            Some(_) => "`kakunin admin-key` with the same --database, --seal and --keys".to_owned(),
        };
        print(&format!("kakunin: no admin key stands; {how} makes one"));
    }
    let (domain, tenant) = (&deployment.kakunin.place().trust_domain, &deployment.tenant);
    print(&format!("kakunin: ready at {url}, trust domain {domain}, first tenant {tenant}"));
    let reloads = server.reloads();
    tokio::select! {
        ended = server.serve(stop) => ended,
        () = read_again_when_told(hangups, &reloads, logging, log) => Ok(()),
    }
}

/// Reads the configuration again with each SIGHUP; several at once are one. Never ends.
async fn read_again_when_told(mut hangups: Signal, reloads: &Reloads, mut logging: Logging, log: &Log) {
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        match read_again(reloads, &mut logging, log) {
            Ok(()) => {}
            Err(error) => tracing::error!(
                error,
                "the configuration was read again and is refused: everything stays as it was"
            ),
        }
    }
}

fn read_again(reloads: &Reloads, logging: &mut Logging, log: &Log) -> Result<(), String> {
    // The same arguments and variables, and what their files say now.
    let Command::Serve(serve) = Arguments::try_parse().map_err(|error| error.to_string())?.command else {
        return Err("the arguments are another command's".to_owned());
    };
    let (options, new) = serve.options().map_err(|error| chain(&error))?;
    let mut done = reloads.apply(&options).map_err(|error| chain(&error))?;
    if new.level != logging.level {
        done.changed.push("log-level");
    }
    if new.json != logging.json {
        done.kept.push("log-json");
    }
    // What tells of it is not left out by it.
    let changed = if done.changed.is_empty() { "nothing".to_owned() } else { done.changed.join(", ") };
    if logging.level != Level::Debug {
        log.set_level(Level::Info);
    }
    tracing::info!(changed, "the configuration was read again");
    if !done.kept.is_empty() {
        let keys = done.kept.join(", ");
        tracing::warn!(keys, "these take a restart to change, and stay as they were");
    }
    log.set_level(new.level);
    logging.level = new.level;
    Ok(())
}
