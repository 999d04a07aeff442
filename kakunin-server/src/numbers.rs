//! Numbers in arguments, and what is said of a text that is none.

use std::fmt::Display;
use std::str::FromStr;

/// A number, perhaps none.
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number from 0 on: write one, such as 100"))
}

/// A time.
pub(crate) fn seconds<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number of seconds: write one, such as 300"))
}

/// A number within bounds.
pub(crate) fn between<T: FromStr + PartialOrd + Display>(text: &str, first: T, last: T) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| (&first..=&last).contains(&number));
    number.ok_or_else(|| format!("`{text}` is not a whole number from {first} to {last}"))
}

/// A number of which there is at least one.
pub(crate) fn at_least_one<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number from 1 on: write one, such as 100"))
}
