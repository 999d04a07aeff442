//! What a line may hold: what is seen as what it is, and no second line.

use std::io;
use std::sync::atomic::Ordering;

use kakunin_core::text::hidden;

use super::JSON;
use super::sink::SINK;

/// Takes one line of the formatter, whole.
#[derive(Debug)]
pub(super) struct Line;

pub(super) fn writer() -> Line {
    Line
}

impl io::Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        SINK.push(clean(&String::from_utf8_lossy(line), JSON.load(Ordering::Relaxed)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line, with what would end it, hide in it or move it written out. In JSON all of that stands within strings, where it is
/// escaped, so that a reader has the value as it was.
pub(super) fn clean(line: &str, json: bool) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let mut out = String::with_capacity(line.len() + 1);
    for c in line.chars() {
        match c {
            _ if hidden(c).is_none() => out.push(c),
            _ if json => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}")),
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            _ => out.extend(c.escape_unicode()),
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_and_json_keeps_its_values() {
        let value = "a\nb\r\t\u{1b}[31m\u{7f}\u{85}\u{202e}\u{2028}\u{e0041}\u{200b}é漢";
        let text = clean(&format!("{value}\n"), false);
        assert_eq!(text, "a\\nb\\r\\t\\u{1b}[31m\\u{7f}\\u{85}\\u{202e}\\u{2028}\\u{e0041}\\u{200b}é漢\n");
        let json = clean(&format!("{}\n", serde_json::json!({ "k": value })), true);
        assert!(json.ends_with("}\n") && json.trim_end().chars().all(|c| hidden(c).is_none()), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["k"], value);
    }
}
