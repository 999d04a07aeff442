//! The arguments of `kakunin risk`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use kakunin_server::evaluate::{self, Scope};
use kakunin_server::models::{DEFAULT_MODEL, Model};
use kakunin_server::simulate;

use crate::config::Serve;
use crate::numbers::number;

/// The risk engine.
#[derive(Subcommand)]
pub(crate) enum Risk {
    /// Runs a risk model over recorded traces, without a deployment: who is caught, and who is flagged in vain.
    Evaluate(Evaluate),
    /// Makes every score of a deployment anew from its logs, bit for bit, and names the records whose score differs. It
    /// changes nothing; the deployment's server must not be running. Ends with 0 if none differs, 1 if one does, 2 if that
    /// cannot be said.
    Replay {
        #[command(flatten)]
        serve: Box<Serve>,
        /// Make all of them by this risk model, and not by the one that judged then.
        #[arg(long, value_name = "NAME")]
        model: Option<Model>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Says who would have been warned of, and who would have lost the identity, when and why, had another model or another
    /// policy been in force, over a deployment's logs. It changes nothing; the deployment's server must not be running.
    Simulate {
        #[command(flatten)]
        serve: Box<Serve>,
        #[command(flatten)]
        what_if: WhatIf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// What is to be otherwise than it was.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct WhatIf {
    /// The risk model that judges every event.
    #[arg(long, value_name = "NAME")]
    model: Option<Model>,
    /// What follows from scores: a file with what `kakunin policy show` printed, edited.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl From<WhatIf> for simulate::Options {
    fn from(WhatIf { model, policy }: WhatIf) -> Self {
        Self { model, policy }
    }
}

#[derive(Args)]
pub(crate) struct Evaluate {
    /// Folder with `events`, `agents` and perhaps `sessions`, as `.jsonl.gz` or `.jsonl`.
    pub(crate) folder: PathBuf,
    /// What the agents may do: a list of the agents file, or with `task` a grant for each session.
    #[arg(long, value_enum, default_value_t = ScopeName::Suite)]
    scope: ScopeName,
    /// The risk model.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_MODEL)]
    model: Model,
    /// Write the score after each event to this file, one JSON object a line.
    #[arg(long, value_name = "FILE", conflicts_with = "loud")]
    scores: Option<PathBuf>,
    /// Give the figures of folds by model and by suite, too.
    #[arg(long, conflicts_with = "loud")]
    folds: bool,
    /// Have the honest agents do loud misuse and live through hard days, instead of what is recorded.
    #[arg(long)]
    pub(crate) loud: bool,
    /// What misuse and hard days are drawn from.
    #[arg(long, default_value_t = 1, requires = "loud", value_parser = number::<u64>)]
    pub(crate) seed: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScopeName {
    Suite,
    Job,
    Task,
    Broad,
}

impl From<&Evaluate> for evaluate::Options {
    fn from(evaluate: &Evaluate) -> Self {
        Self {
            model: evaluate.model.clone(),
            scope: match evaluate.scope {
                ScopeName::Suite => Scope::Suite,
                ScopeName::Job => Scope::Job,
                ScopeName::Task => Scope::Task,
                ScopeName::Broad => Scope::Broad,
            },
            scores: evaluate.scores.clone(),
            folds: evaluate.folds,
        }
    }
}
