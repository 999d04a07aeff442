//! A fault while it is on its way out of the values that it stands in.

use super::error::{IJsonError, Why};

/// A fault with the way to it, innermost step first.
pub(super) struct Fault {
    way: Vec<Step>,
    why: Why,
}

pub(super) enum Step {
    Member(String),
    Item(usize),
}

/// Most characters of a name, and of a whole path, that an error shows.
const SHOWN_NAME: usize = 64;
const SHOWN_PATH: usize = 256;

impl From<Why> for Fault {
    fn from(why: Why) -> Self {
        Self { way: Vec::new(), why }
    }
}

impl Fault {
    pub(super) fn within(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }

    pub(super) fn into_error(self) -> IJsonError {
        let mut path = String::new();
        for step in self.way.iter().rev() {
            let dot = if path.is_empty() { "" } else { "." };
            path = match step {
                Step::Member(name) => format!("{path}{dot}{name}"),
                Step::Item(at) => format!("{path}[{at}]"),
            };
        }
        IJsonError { path: path.chars().take(SHOWN_PATH).collect(), why: self.why }
    }
}

impl Step {
    pub(super) fn member(name: &str) -> Self {
        Self::Member(name.chars().take(SHOWN_NAME).map(|c| if c.is_control() { '?' } else { c }).collect())
    }
}
