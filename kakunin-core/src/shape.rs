//! JSON of another shape than is read: which member, what it is, and what to write instead.
//!
//! A parser's own words are for whoever wrote the type that is read; these are for whoever wrote the text.

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_json::error::Category;

use crate::ijson;
use crate::text::hidden;

/// Most characters that an error shows.
const SHOWN: usize = 300;

/// Why a text is not what is read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ShapeError {
    /// How far it came.
    pub fault: Fault,
    /// Which member, such as `amount.minor` or `events[3].tool`; empty for the whole text.
    pub path: String,
    /// What it is and what to write, as a sentence that names the member.
    pub why: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// What a text is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends too early, or is empty.
    Cut,
    /// It is not JSON, or none that is read.
    Syntax,
    /// It is JSON of another shape.
    Shape,
}

impl ShapeError {
    /// The member of the whole that it is about, without what lies within that.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.path.split(['.', '[']).next().filter(|member| !member.is_empty())
    }
}

/// Reads one value, and nothing after it.
///
/// # Errors
/// [`ShapeError`].
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, ShapeError> {
    // To keep the way to each member costs; it is looked for where something is wrong.
    if let Ok(value) = serde_json::from_slice(json) {
        return Ok(value);
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = located(&mut reader)
        .and_then(|value| reader.end().map(|()| value).map_err(|error| (String::new(), error)));
    read.map_err(|(path, error)| {
        let text = error.to_string();
        // Its own text ends with the place, which is told apart here.
        let (message, _) = text.rsplit_once(" at line ").unwrap_or((&text, ""));
        let (line, column) = (error.line(), error.column());
        let (fault, (path, why)) = match error.classify() {
            Category::Eof if json.trim_ascii().is_empty() => {
                (Fault::Cut, whole("it is empty: write an object"))
            }
            Category::Eof => (Fault::Cut, whole("it ends in the middle of its JSON: write all of it")),
            Category::Data => (Fault::Shape, about(&path, message)),
            // A word is expected, and something else stands there: the parser takes that for bad JSON.
            _ => match serde_json::from_slice::<Value>(json) {
                Ok(value) => (Fault::Shape, (path.clone(), no_word(&path, &value))),
                Err(_) => (Fault::Syntax, whole(&unread(json, in_words(message)))),
            },
        };
        ShapeError { fault, path: shown(&path), why: shown(&why), line, column }
    })
}

fn no_word(path: &str, value: &Value) -> String {
    let pointer = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
    let found = match value.pointer(&pointer) {
        Some(Value::Number(number)) => format!("the number {number}"),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(Value::Null) => "null".to_owned(),
        Some(Value::Array(_)) => "a list".to_owned(),
        _ => "no word".to_owned(),
    };
    format!("`{path}` is {found}: write one of its words, in quotes")
}

/// Some of what is JSON is not read all the same: a number out of range, or what is nested too deep.
fn unread(json: &[u8], why: &str) -> String {
    let is_json =
        str::from_utf8(json).is_ok_and(|text| ijson::check(text).map_or_else(|e| e.is_json(), |()| true));
    if is_json { format!("it is not read: {why}") } else { format!("it is not JSON: {why}") }
}

fn in_words(message: &str) -> &str {
    match message {
        "expected value" | "expected ident" => "a value is expected here, a text in quotes",
        "recursion limit exceeded" => "it is nested too deep; 127 levels are read",
        "invalid unicode code point" => "an escape stands for no character",
        "key must be a string" => "the name of a member stands in quotes",
        "lone leading surrogate in hex escape" => "half of a surrogate pair; write whole characters",
        other => other,
    }
}

/// Reads from any format that `serde` knows; what is wrong comes with the way to the member, as [`sentence`] takes it.
///
/// # Errors
/// What the format says, and the path.
pub fn located<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<T, (String, D::Error)> {
    serde_path_to_error::deserialize(reader).map_err(|error| (error.path().to_string(), error.into_inner()))
}

fn whole(why: &str) -> (String, String) {
    (String::new(), why.to_owned())
}

fn shown(text: &str) -> String {
    let mut all = text.chars().map(|c| if hidden(c).is_some() { '?' } else { c });
    let mut shown: String = all.by_ref().take(SHOWN).collect();
    if all.next().is_some() {
        shown.push('…');
    }
    shown
}

/// What a parser that `serde` drives says of the value at `path`, in our words: which member it is about, and the
/// sentence. Both can be shown to anybody: they are cut, and nothing in them hides.
#[must_use]
pub fn sentence(path: &str, message: &str) -> (String, String) {
    let (path, why) = about(path, message);
    (shown(&path), shown(&why))
}

fn about(path: &str, message: &str) -> (String, String) {
    let path = if path == "." { "" } else { path };
    let within = |name: &str| match path {
        "" => name.to_owned(),
        // Some parsers come as far as the member that they do not know.
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    let subject = if path.is_empty() { "it".to_owned() } else { format!("`{path}`") };
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let named = |prefix: &str| what.strip_prefix(prefix).map(|name| name.trim_matches('`'));
    if let Some(name) = named("missing field ") {
        let path = within(name);
        let why = format!("`{path}` is missing: write it");
        return (path, why);
    }
    if let Some(name) = named("duplicate field ") {
        let path = within(name);
        let why = format!("`{path}` comes twice: write it once");
        return (path, why);
    }
    if let Some(name) = named("unknown field ") {
        let name = name.split("`, there are no").next().unwrap_or(name);
        let path = within(name);
        let why = match expected {
            "" => format!("`{path}` is not known here: leave it out"),
            known => format!("`{path}` is not known here: leave it out, or write {known}"),
        };
        return (path, why);
    }
    let why = if let Some(variant) = named("unknown variant ") {
        format!("{subject} is `{variant}`: write {expected}")
    } else if let Some(found) = what.strip_prefix("invalid type: ").or(what.strip_prefix("invalid value: ")) {
        format!("{subject} is {}: write {}", as_found(found), as_wanted(expected))
    } else if let Some(length) = what.strip_prefix("invalid length ") {
        match expected.starts_with("struct ") {
            true => format!("{subject} is a list: write an object"),
            false => format!("{subject} has {length} elements: write {expected}"),
        }
    } else {
        format!("{subject}: {message}")
    };
    (path.to_owned(), why)
}

/// What stands there.
fn as_found(found: &str) -> String {
    let bare = |prefix: &str| found.strip_prefix(prefix).map(|rest| rest.trim_matches('`'));
    if let Some(number) = bare("integer ").or_else(|| bare("floating point ")) {
        // Of what fits into no type that it could be, some parsers name the type that they tried.
        let number = number.split('`').next().unwrap_or(number);
        return format!("the number {number}");
    }
    if let Some(truth) = bare("boolean ") {
        return truth.to_owned();
    }
    match found {
        "null" | "unit value" | "Option value" => "null".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "an object".to_owned(),
        "number" => "a number".to_owned(),
        other => other.strip_prefix("string ").map_or(other.to_owned(), |text| format!("the text {text}")),
    }
}

/// What should.
fn as_wanted(expected: &str) -> String {
    let wanted = match expected {
        "u64" | "usize" | "u128" => "a whole number from 0 on",
        "u32" => "a whole number from 0 to 4294967295",
        "u16" => "a whole number from 0 to 65535",
        "u8" => "a whole number from 0 to 255",
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number from 1 on",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" | "a JSON number" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "unit" => "null",
        other if other.starts_with("struct ") => "an object",
        other if other.starts_with("enum ") || other == "string or map" => "one of its words, in quotes",
        other => other,
    };
    wanted.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    #[allow(dead_code, reason = "read, and never looked at")]
    struct Read {
        name: String,
        count: Option<u32>,
        some: Option<core::num::NonZeroU32>,
        on: Option<bool>,
        colour: Option<Colour>,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "read, and never looked at")]
    struct Inner {
        of: f64,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Blue,
    }

    #[test]
    fn each_member_is_named_with_what_it_is_and_what_to_write() {
        for (json, path, why) in [
            ("{}", "name", "`name` is missing: write it"),
            (r#"{"name":7}"#, "name", "`name` is the number 7: write a string"),
            (r#"{"name":null}"#, "name", "`name` is null: write a string"),
            (r#"{"name":["a"]}"#, "name", "`name` is a list: write a string"),
            (r#"{"name":{"a":1}}"#, "name", "`name` is an object: write a string"),
            (
                r#"{"name":"a","count":-1}"#,
                "count",
                "`count` is the number -1: write a whole number from 0 to 4294967295",
            ),
            (
                r#"{"name":"a","count":1.5}"#,
                "count",
                "`count` is the number 1.5: write a whole number from 0 to 4294967295",
            ),
            (
                r#"{"name":"a","count":5000000000}"#,
                "count",
                "`count` is the number 5000000000: write a whole number from 0 to 4294967295",
            ),
            (r#"{"name":"a","on":"yes"}"#, "on", "`on` is the text \"yes\": write true or false"),
            (r#"{"name":"a","colour":"green"}"#, "colour", "`colour` is `green`: write `red` or `blue`"),
            (
                r#"{"name":"a","colour":7}"#,
                "colour",
                "`colour` is the number 7: write one of its words, in quotes",
            ),
            (r#"{"name":"a","inner":{}}"#, "inner", "`inner` is an object: write a list"),
            (
                r#"{"name":"a","inner":[{"of":1},{"of":true}]}"#,
                "inner[1].of",
                "`inner[1].of` is true: write a number",
            ),
            (r#"{"name":"a","inner":[{}]}"#, "inner[0].of", "`inner[0].of` is missing: write it"),
            (
                r#"{"name":"a","inner":[{"on":1}]}"#,
                "inner[0].on",
                "`inner[0].on` is not known here: leave it out, or write `of`",
            ),
            (r#"{"name":"a","name":"b"}"#, "name", "`name` comes twice: write it once"),
            (
                r#"{"nam":"a"}"#,
                "nam",
                "`nam` is not known here: leave it out, or write one of `name`, `count`, `some`, `on`, `colour`, `inner`",
            ),
            (r#"{"name":"a","some":0}"#, "some", "`some` is the number 0: write a whole number from 1 on"),
            ("7", "", "it is the number 7: write an object"),
        ] {
            let error = read::<Read>(json.as_bytes()).unwrap_err();
            assert_eq!((error.path.as_str(), error.why.as_str()), (path, why), "{json}");
            assert_eq!(
                (error.fault, error.member()),
                (Fault::Shape, path.split(['.', '[']).next().filter(|p| !p.is_empty()))
            );
        }
    }

    #[test]
    fn a_number_that_fits_nowhere_is_shown_without_the_type_that_was_tried() {
        let (_, why) =
            sentence("rate", "invalid type: integer `99999999999999999999` as i128, expected a nonzero u32");
        assert_eq!(why, "`rate` is the number 99999999999999999999: write a whole number from 1 on");
    }

    #[test]
    fn what_is_no_json_says_so() {
        for (json, fault, why) in [
            ("", Fault::Cut, "it is empty: write an object"),
            (r#"{"name":"#, Fault::Cut, "it ends in the middle of its JSON: write all of it"),
            ("name=a", Fault::Syntax, "it is not JSON: a value is expected here, a text in quotes"),
            (r#"{"name":"a"}{}"#, Fault::Syntax, "it is not JSON: trailing characters"),
        ] {
            let error = read::<Read>(json.as_bytes()).unwrap_err();
            assert_eq!((error.fault, error.why.as_str()), (fault, why), "{json}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(200));
        let deep = read::<Value>(deep.as_bytes()).unwrap_err();
        assert_eq!(deep.why, "it is not JSON: it is nested too deep; 127 levels are read");
        let large = read::<Value>(b"{\"a\":1e999}").unwrap_err();
        assert_eq!(large.why, "it is not read: number out of range");
        let hostile = read::<Read>("{\"a\u{202e}b\":1}".as_bytes()).unwrap_err();
        assert!(hostile.why.contains("a?b"), "{hostile}");
    }
}
