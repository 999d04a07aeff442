//! The command `kakunin`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use kakunin_core::key::KeyAlgorithm;
use kakunin_server::replay::{self, Options, ScopeColumn};

/// Machine identity for AI agents, taken away by itself when they misbehave.
#[derive(Parser)]
#[command(name = "kakunin", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Feeds recorded agent traces through issuance, scope check, scoring and revocation.
    Replay {
        /// Events, one JSON object a line, gzipped.
        file: PathBuf,
        /// Agents with their scopes; `agents.jsonl.gz` beside the events if not given.
        #[arg(long)]
        agents: Option<PathBuf>,
        /// Which list of the agents file becomes the certificate's scope.
        #[arg(long, value_enum, default_value_t = Scope::Suite)]
        scope: Scope,
        /// Algorithm of the agents' keys.
        #[arg(long, value_enum, default_value_t = Key::Rsa2048)]
        key: Key,
        /// Keep the log in this folder instead of one that goes away.
        #[arg(long)]
        data: Option<PathBuf>,
        /// Print one JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Scope {
    Job,
    Suite,
    Broad,
}

#[derive(Clone, Copy, ValueEnum)]
enum Key {
    #[value(name = "rsa-2048")]
    Rsa2048,
    P256,
    Ed25519,
}

fn main() -> ExitCode {
    let Command::Replay { file, agents, scope, key, data, json } = Arguments::parse().command;
    let options = Options {
        scope: match scope {
            Scope::Job => ScopeColumn::Job,
            Scope::Suite => ScopeColumn::Suite,
            Scope::Broad => ScopeColumn::Broad,
        },
        key: match key {
            Key::Rsa2048 => KeyAlgorithm::Rsa2048,
            Key::P256 => KeyAlgorithm::P256,
            Key::Ed25519 => KeyAlgorithm::Ed25519,
        },
        agents,
        data,
        progress: !json,
    };
    match replay::run(&file, &options) {
        Ok(report) if json => print(&report.to_json()),
        Ok(report) => print(&report.to_string()),
        Err(error) => {
            eprintln!("kakunin: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints to a pipe that may be closed already.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
