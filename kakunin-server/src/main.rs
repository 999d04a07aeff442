//! The command `kakunin`.

mod arguments;
mod backup_arguments;
mod config;
mod config_error;
mod database_arguments;
mod environment;
mod erase_arguments;
mod log_arguments;
mod migrate_arguments;
mod numbers;
mod policy_arguments;
mod risk_arguments;
mod running;
mod server_arguments;
mod webhook_arguments;

use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use arguments::{Arguments, Ca, Command, InboxCommand};
use clap::Parser;
use config::Serve;
use kakunin_core::time::{Clock, SystemClock};
use kakunin_server::client::{Client, ClientError};
use kakunin_server::logging::Level;
use kakunin_server::models::Model;
use kakunin_server::policy::{self, PolicyCommandError};
use kakunin_server::serve::{ServeOptions, make_admin_key};
use kakunin_server::{
    backup, ca, crl_sync, demo, erase, evaluate, http, inbox, log_verify, logging, migrate, monitor, process,
    rebuild, recover, replay, rescore, simulate, webhook,
};
use log_arguments::Log;
use migrate_arguments::Task;
use policy_arguments::{Judge, Tenants};
use risk_arguments::{Evaluate, Risk};
use server_arguments::Server;

fn main() -> ExitCode {
    if let Err(error) = process::without_core_dumps() {
        logging::complain(&format!("core dumps cannot be turned off: {error}"));
        return ExitCode::FAILURE;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misunderstood(&error),
    };
    match arguments.command {
        Command::Serve(serve) => running::run(*serve),
        Command::Ca(command) => certificate_authority(command),
        Command::AdminKey(serve) => match serve.options() {
            Ok((options, _)) => match in_runtime(make_admin_key(&options)) {
                Ok(key) => print(key.reveal()),
                Err(error) => ended(Err(error)),
            },
            Err(error) => ended(Err(error)),
        },
        Command::Demo(options) => ended(in_runtime(demo::run(options.into()))),
        Command::Replay(options) => replay_trace(&options),
        Command::Risk(Risk::Evaluate(options)) => measure(&options),
        Command::Risk(Risk::Replay { serve, model, json }) => score_anew(serve, model.as_ref(), json),
        Command::Risk(Risk::Simulate { serve, what_if, json }) => what_would_be(serve, &what_if.into(), json),
        Command::CrlSync(options) => {
            let _log = logging::start(Level::Info, false);
            ended(in_runtime(crl_sync::run(&options.into())))
        }
        Command::Monitor(options) => watch_canaries(&options),
        Command::Webhook(webhook) => {
            let (server, json, asked) = webhook.apart();
            ended(in_runtime(async { webhook::run(&Client::new(&server)?, &asked, json).await }))
        }
        Command::Inbox(options) => ended(in_runtime(show_inbox(&options))),
        Command::Policy { options, server } => said(in_runtime(decide(&options, &server))),
        Command::Verdict { judge, server } => said(in_runtime(give_verdict(&judge, &server))),
        Command::Erase(options) => said(in_runtime(async {
            erase::run(&Client::new(&(&options.server).into())?, &(&options).into()).await
        })),
        Command::Backup(backup) => match backup.serve.options() {
            Ok((options, _)) => said(in_runtime(backup::make(&options, &backup.places.into()))),
            Err(error) => ended(Err(error)),
        },
        Command::Restore(restore) => said(in_runtime(backup::restore(&restore.into()))),
        Command::Migrate(options) => match options.task() {
            Ok(Task::Tables(both)) => said(in_runtime(migrate::tables(&both.0, &both.1))),
            Ok(Task::Move(both)) => said(in_runtime(migrate::from_folder(&both.0, &both.1))),
            Err(error) => ended(Err(error)),
        },
        Command::Log(command) => log(command),
        Command::Rebuild { serve, dry_run, json } => make_anew(serve, dry_run, json),
        Command::Openapi => print(&format!("{:#}", http::openapi())),
    }
}

/// What clap has to say: help, or what is wrong with the arguments.
fn misunderstood(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() {
        return print(text.trim_end());
    }
    if config::asks_for_json() {
        let _log = logging::start(Level::Error, true);
        logging::complain(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    } else {
        logging::show(&text);
    }
    ExitCode::from(2)
}

fn certificate_authority(command: Ca) -> ExitCode {
    let done = match command {
        Ca::Init { root, public_url } => in_runtime(ca::init(&root.into(), public_url.as_deref())),
        Ca::SignIssuing { root, request, tenant, arc } => {
            let binding = tenant.as_ref().map(|tenant| (tenant, &arc));
            in_runtime(ca::sign(&root.into(), &request, binding))
        }
        Ca::Request(serve) => match serve.options() {
            Ok((options, _)) => in_runtime(ca::request(&options)).map(|(request, first)| {
                if first {
                    say_that_it_is_the_first(&options);
                }
                request
            }),
            Err(error) => return ended(Err(error)),
        },
        Ca::Install { serve, chain, tenant } => match serve.options() {
            Ok((options, _)) => in_runtime(ca::install(&options, &chain, tenant.as_ref())),
            Err(error) => return ended(Err(error)),
        },
        Ca::SignCrl { root, days } => in_runtime(ca::sign_crl(&root.into(), days)),
        Ca::InstallCrl { serve, crl } => match serve.options() {
            Ok((options, _)) => in_runtime(ca::install_crl(&options, &crl)),
            Err(error) => return ended(Err(error)),
        },
        Ca::Rotate { serve, tenant } => match serve.options() {
            Ok((options, _)) => in_runtime(ca::rotate(&options, tenant.as_ref())),
            Err(error) => return ended(Err(error)),
        },
    };
    match done {
        Ok(text) => print(text.trim_end()),
        Err(error) => ended(Err(error)),
    }
}

// Whoever meant another folder notices before the root has signed.
fn say_that_it_is_the_first(options: &ServeOptions) {
    let folder = || options.data.display().to_string();
    let place = options.database.as_ref().map_or_else(folder, |database| database.url.place());
    logging::complain(&format!(
        "{place} holds no deployment yet: this request is for the first issuing CA of a new one"
    ));
}

fn log(command: Log) -> ExitCode {
    match command {
        Log::Verify { what, serve } => {
            let done = with_options(serve, |options| in_runtime(log_verify::run(options, &(&what).into())));
            let text =
                |report: &log_verify::Report| if what.json { report.to_json() } else { report.to_string() };
            found(done.map(|report| (report.is_good(), text(&report))))
        }
        Log::Recover(options) => {
            let (serve, recover) = options.apart();
            match serve.options() {
                Ok((options, _)) => said(in_runtime(recover::run(&options, &recover))),
                Err(error) => ended(Err(error)),
            }
        }
        Log::RenewGuard(serve) => match serve.options() {
            Ok((options, _)) => said(in_runtime(recover::renew_guard(&options))),
            Err(error) => ended(Err(error)),
        },
    }
}

async fn show_inbox(options: &arguments::Inbox) -> Result<(), ClientError> {
    match &options.command {
        None => inbox::show(&Client::new(&(&options.server).into())?, &options.into()).await,
        Some(InboxCommand::Read { server, id, .. }) => {
            let what = id.clone().map_or(inbox::Read::All, inbox::Read::One);
            inbox::read(&Client::new(&server.into())?, &what).await
        }
    }
}

async fn decide(options: &Tenants, server: &Server) -> Result<String, PolicyCommandError> {
    policy::run(&Client::new(&server.into())?, &options.tenant, &options.order()).await
}

async fn give_verdict(judge: &Judge, server: &Server) -> Result<String, ClientError> {
    let Judge { agent, verdict, reason, cause } = judge;
    policy::judge(&Client::new(&server.into())?, agent, *verdict, reason, cause.as_deref()).await
}

fn said<E: std::error::Error>(done: Result<String, E>) -> ExitCode {
    match done {
        Ok(text) => print(&text),
        Err(error) => ended(Err(error)),
    }
}

fn watch_canaries(options: &arguments::Monitor) -> ExitCode {
    let what = monitor::Options::from(options);
    loop {
        let done = in_runtime(monitor::run(&what));
        let (report, now) = (done.as_ref().ok(), SystemClock.now());
        let write = |file: &PathBuf| monitor::textfile::write(file, report, what.bound, now);
        let written = options.textfile.as_ref().map_or(Ok(()), write);
        let verdict = done.and_then(|report| {
            print(&if options.json { report.to_json() } else { report.to_string() });
            report.verdict()
        });
        let code = ended(verdict.and(written));
        match options.every {
            Some(seconds) => std::thread::sleep(Duration::from_secs(seconds)),
            None => return code,
        }
    }
}

fn make_anew(serve: Box<Serve>, dry_run: bool, json: bool) -> ExitCode {
    let done = with_options(serve, |options| in_runtime(rebuild::run(options, dry_run)));
    found(done.map(|report| (report.is_equal(), if json { report.to_json() } else { report.to_string() })))
}

fn score_anew(serve: Box<Serve>, model: Option<&Model>, json: bool) -> ExitCode {
    let done = with_options(serve, |options| in_runtime(rescore::run(options, model)));
    found(done.map(|report| (report.is_equal(), if json { report.to_json() } else { report.to_string() })))
}

fn what_would_be(serve: Box<Serve>, what_if: &simulate::Options, json: bool) -> ExitCode {
    let done = with_options(serve, |options| in_runtime(simulate::run(options, what_if)));
    found(done.map(|report| (true, if json { report.to_json() } else { report.to_string() })))
}

fn measure(options: &Evaluate) -> ExitCode {
    let (folder, how) = (&options.folder, options.into());
    let text = |json: String, table: String| if options.json { json } else { table };
    said(match options.loud {
        true => evaluate::loud(folder, &how, options.seed).map(|r| text(r.to_json(), r.to_string())),
        false => evaluate::run(folder, &how).map(|r| text(r.to_json(), r.to_string())),
    })
}

/// What came of work on a folder, or why nothing did.
fn with_options<T, E: std::error::Error>(
    serve: Box<Serve>,
    work: impl FnOnce(&ServeOptions) -> Result<T, E>,
) -> Result<T, String> {
    let (options, _) = serve.options().map_err(|error| chain(&error))?;
    work(&options).map_err(|error| chain(&error))
}

/// 0 if all is well, 1 if something was found, 2 if nothing can be said.
fn found(done: Result<(bool, String), String>) -> ExitCode {
    match done {
        Ok((well, text)) => {
            let printed = print(&text);
            if well { printed } else { ExitCode::FAILURE }
        }
        Err(text) => {
            logging::complain(&text);
            ExitCode::from(2)
        }
    }
}

fn replay_trace(options: &arguments::Replay) -> ExitCode {
    match replay::run(&options.file, &options.into()) {
        Ok(report) if options.json => print(&report.to_json()),
        Ok(report) => print(&report.to_string()),
        Err(error) => ended(Err(error)),
    }
}

fn in_runtime<T, E: From<std::io::Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let mut done = None;
    wait_for(Box::pin(async { done = Some(work.await) }))?;
    done.unwrap_or_else(|| Err(std::io::Error::other("the work was not done").into()))
}

// Behind a pointer, so that the runtime is compiled once and not for each command.
fn wait_for(work: Pin<Box<dyn Future<Output = ()> + '_>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(work);
    // What still runs on threads of its own keeps nobody waiting.
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(())
}

fn ended<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    logging::complain(&chain(&error));
    ExitCode::FAILURE
}

/// One line, with its causes where the error does not name them itself.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Prints to a pipe that may be closed already.
fn print(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
