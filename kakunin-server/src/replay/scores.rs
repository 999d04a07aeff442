//! The score after each event, in a file: for whoever measures a model.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use kakunin_core::risk::Score;

use super::error::ReplayError;

/// JSON lines, `{"agent":"a","seq":0,"score":0.123456}`.
pub(crate) struct Scores {
    path: PathBuf,
    file: BufWriter<File>,
}

#[derive(serde::Serialize)]
struct Line<'a> {
    agent: &'a str,
    seq: u64,
    score: f64,
}

impl Scores {
    pub(crate) fn create(path: &Path) -> Result<Self, ReplayError> {
        let file = File::create(path).map_err(|source| unwritten(path, source))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    pub(crate) fn write(&mut self, agent: &str, seq: u64, score: Score) -> Result<(), ReplayError> {
        let line = Line { agent, seq, score: f64::from(score.millionths()) / 1e6 };
        let written = serde_json::to_writer(&mut self.file, &line).map_err(std::io::Error::from);
        written.and_then(|()| self.file.write_all(b"\n")).map_err(|source| unwritten(&self.path, source))
    }

    pub(crate) fn finish(&mut self) -> Result<(), ReplayError> {
        self.file.flush().map_err(|source| unwritten(&self.path, source))
    }
}

fn unwritten(path: &Path, source: std::io::Error) -> ReplayError {
    ReplayError::Scores { path: path.to_owned(), source }
}
