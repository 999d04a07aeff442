//! The story as it is told: a line each, with the time since it began.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use kakunin_core::id::Serial;

use super::error::DemoError;

/// How a line is meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tone {
    Good,
    Warn,
    Bad,
}

impl Tone {
    const fn colour(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        }
    }
}

/// Lines with times, in colour where somebody looks.
#[derive(Debug)]
pub(super) struct Timeline {
    began: Instant,
    colour: bool,
}

const BAR: usize = 20;

impl Timeline {
    pub(super) fn begin() -> Self {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { began: Instant::now(), colour }
    }

    fn painted(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn print(&self, text: &str) -> Result<(), DemoError> {
        let mut out = io::stdout();
        writeln!(out, "{text}").and_then(|()| out.flush())?;
        Ok(())
    }

    pub(super) fn line(&self, tone: Tone, what: &str, text: &str) -> Result<(), DemoError> {
        let time = self.painted(&format!("{:6.2} s", self.began.elapsed().as_secs_f64()), "2");
        self.print(&format!("{time}  {}  {text}", self.painted(&format!("{what:<8}"), tone.colour())))
    }

    /// One refused call, with the score after it.
    pub(super) fn refusal(
        &self,
        attempt: usize,
        action: &str,
        code: &str,
        score: f64,
    ) -> Result<(), DemoError> {
        let tone = match score {
            s if s >= 0.85 => Tone::Bad,
            s if s >= 0.3 => Tone::Warn,
            _ => Tone::Good,
        };
        let filled = (1..=BAR).filter(|n| f64::from(u32::try_from(*n).unwrap_or(0)) / 20.0 <= score).count();
        let bar = format!("{}{}", "#".repeat(filled), ".".repeat(BAR.saturating_sub(filled)));
        let bar = self.painted(&bar, tone.colour());
        self.line(Tone::Warn, "refused", &format!("{attempt:>3}  {action:<18} {code:<16} {bar} {score:.2}"))
    }

    pub(super) fn end(&self, name: &str, serial: &Serial) -> Result<(), DemoError> {
        let say =
            format!("Exactly one identity was taken away: {name}, serial {serial}. 19 of 20 keep working.");
        self.print(&format!(
            "\n{}\n{:.1} s in all.",
            self.painted(&say, "1"),
            self.began.elapsed().as_secs_f64()
        ))
    }

    /// Commands that show it to whoever doubts it.
    pub(super) fn try_it_yourself(&self, url: &str, folder: &Path, serial: &Serial) -> Result<(), DemoError> {
        let key = folder.join("admin.key");
        self.print(&format!(
            "\nThe server stays up until Ctrl-C. Try:\n\n  \
             curl -s {url}/api/v1/verify/{serial}\n  \
             curl -s {url}/api/v1/crl | openssl crl -noout -text\n  \
             curl -s {url}/api/v1/ca/chain | openssl x509 -noout -text\n  \
             curl -s -H \"authorization: Bearer $(cat {key})\" {url}/api/v1/notifications\n  \
             curl -s -H \"authorization: Bearer $(cat {key})\" {url}/api/v1/audit-log | head -c 2000\n\n\
             Or open {url}/api/v1/verify/{serial} in a browser.",
            key = key.display()
        ))
    }
}
