//! `kakunin risk replay`: every score of a deployment made anew from its logs, and held against the one on record.

use std::fmt;

use kakunin_core::service::{RescoredLog, ScoreDiffers, rescore};
use serde_json::{Value, json};

use crate::models::Model;
use crate::rebuild::shown;
use crate::serve::{ServeError, ServeOptions, wire};

/// Most scores that are named to people.
const NAMED: usize = 10;

/// What came of it, for people and for programs.
#[derive(Debug)]
pub struct Report {
    /// The one that was to make all of them.
    model: Option<String>,
    logs: Vec<RescoredLog>,
}

/// Makes every score anew, by the model that judged then or by this one, and compares it with the one in its record. It changes
/// nothing.
///
/// # Errors
/// [`ServeError`] says what to change.
pub async fn run(options: &ServeOptions, model: Option<&Model>) -> Result<Report, ServeError> {
    let parts = wire::parts_of_deployment(options).await?;
    let config = wire::config(options, options.listen, &parts).await?;
    let logs = rescore(config, parts, model.map(|model| model.0.clone()), Some(shown())).await?;
    Ok(Report { model: model.map(ToString::to_string), logs })
}

impl Report {
    /// Whether every score came out as it is on record.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.logs.iter().all(|log| log.differing == 0)
    }

    /// One object of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let logs: Vec<_> = self.logs.iter().map(log_json).collect();
        json!({"equal": self.is_equal(), "model": self.model, "logs": logs}).to_string()
    }
}

fn log_json(rescored: &RescoredLog) -> Value {
    let RescoredLog { log, compared, differing, named } = rescored;
    let named = named.iter().map(|ScoreDiffers { index, recorded, folded }| {
        // Millionths, so that nothing is rounded.
        json!({"index": index, "recorded": recorded.millionths(), "computed": folded.millionths()})
    });
    let scores: Vec<_> = named.collect();
    json!({"log": log.to_string(), "compared": compared, "differing": differing, "scores": scores})
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_deref().unwrap_or("the model of then");
        for RescoredLog { log, compared, differing, named } in &self.logs {
            writeln!(f, "{log}: {compared} scores compared, {differing} differ")?;
            for ScoreDiffers { index, recorded, folded } in named.iter().take(NAMED) {
                let [recorded, folded] = [recorded, folded].map(|score| f64::from(score.millionths()) / 1e6);
                writeln!(f, "  record {index}: the log says {recorded:.6}, {model} says {folded:.6}")?;
            }
            if *differing > 0 && named.len() > NAMED {
                writeln!(f, "  and more; --json names the first {}", named.len())?;
            }
        }
        match self.is_equal() {
            true => write!(f, "every score is what {model} makes of the log"),
            false => write!(
                f,
                "some scores are not what {model} makes of the log: they are of another model, or of another prior"
            ),
        }
    }
}
