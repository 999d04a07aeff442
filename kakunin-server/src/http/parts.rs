//! JSON content as it was sent, and its parts where they stand: so that what is wrong in one part costs that part
//! alone.
//!
//! A parser of the whole stops at the first number that overflows, at `NaN`, at octets that are not UTF-8: at
//! whatever somebody got into one of a thousand events. This looks at brackets, quotes and commas alone; each
//! part is then parsed by itself, and strictly.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};

use super::error::ApiError;
use super::json;

/// Content that says it is JSON.
pub(crate) struct Content(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Content {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        json::check_type(request.headers())?;
        json::read(request, state).await.map(Self)
    }
}

/// The members of an object, in their order; `None` if it is none.
pub(crate) fn object(text: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let mut members = Vec::new();
    each_member(text, |name, rest| {
        members.push((name, rest.value()?));
        Some(())
    })?;
    Some(members)
}

/// Walks over the members of an object, each of which is taken from the rest; `None` if it is none, or one is not taken.
pub(crate) fn each_member<'t>(
    text: &'t [u8],
    mut take: impl FnMut(String, &mut Rest<'t>) -> Option<()>,
) -> Option<()> {
    let mut rest = Rest(text);
    rest.list((b'{', b'}'), |rest| {
        let name = serde_json::from_slice(rest.string()?).ok()?;
        rest.take(b':')?;
        take(name, rest)
    })?;
    rest.is_empty().then_some(())
}

/// The elements of an array, in their order; `None` if it is none.
#[cfg(test)]
fn array(text: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = Rest(text);
    let elements = rest.array()?;
    rest.is_empty().then_some(elements)
}

/// What was not looked at yet.
pub(crate) struct Rest<'t>(&'t [u8]);

impl<'t> Rest<'t> {
    /// The elements of an array, in their order.
    pub(crate) fn array(&mut self) -> Option<Vec<&'t [u8]>> {
        let mut elements = Vec::new();
        self.list((b'[', b']'), |rest| {
            elements.push(rest.value()?);
            Some(())
        })?;
        Some(elements)
    }

    fn is_empty(&self) -> bool {
        self.0.trim_ascii().is_empty()
    }

    /// Everything between two brackets, item by item.
    fn list(&mut self, (open, close): (u8, u8), mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        if self.take(close).is_none() {
            loop {
                item(self)?;
                match self.take(b',') {
                    Some(()) => {}
                    None => break self.take(close)?,
                }
            }
        }
        Some(())
    }

    fn take(&mut self, octet: u8) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(&[octet])?;
        Some(())
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'t [u8]> {
        self.0 = self.0.trim_ascii_start();
        if self.0.first() != Some(&b'"') {
            return None;
        }
        self.split(end_of_string(self.0)?)
    }

    /// Whatever stands before the next comma or closing bracket of this level.
    pub(crate) fn value(&mut self) -> Option<&'t [u8]> {
        let (mut closing, mut at) = (Vec::new(), 0);
        let matters = |octet: &u8| matches!(octet, b'"' | b',' | b'{' | b'}' | b'[' | b']');
        loop {
            at += self.0.get(at..)?.iter().position(matters)?;
            at += match self.0.get(at)? {
                b'"' => end_of_string(self.0.get(at..)?)?,
                b',' | b'}' | b']' if closing.is_empty() => break,
                b'{' => push(&mut closing, b'}'),
                b'[' => push(&mut closing, b']'),
                found @ (b'}' | b']') if closing.pop() != Some(*found) => return None,
                _ => 1,
            };
        }
        let value = self.split(at)?.trim_ascii();
        (!value.is_empty()).then_some(value)
    }

    fn split(&mut self, at: usize) -> Option<&'t [u8]> {
        let (before, after) = self.0.split_at_checked(at)?;
        self.0 = after;
        Some(before)
    }
}

fn push(closing: &mut Vec<u8>, bracket: u8) -> usize {
    closing.push(bracket);
    1
}

/// How long the string is that begins here, quotes included.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.iter().position(|octet| matches!(octet, b'"' | b'\\'))?;
        match text.get(at)? {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Option<Vec<(String, String)>> {
        let text_of = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Some(object(text.as_bytes())?.into_iter().map(|(name, value)| (name, text_of(value))).collect())
    }

    #[test]
    fn parts_are_found_whatever_is_in_them() {
        let found =
            members(" { \"a\" : 1e999 , \"b\\\"}\":[{\"x\":\"],\\\\\"}, NaN],\"c\":\"\\ud800\"} ").unwrap();
        let expected = [("a", "1e999"), ("b\"}", "[{\"x\":\"],\\\\\"}, NaN]"), ("c", "\"\\ud800\"")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let elements = array(b"[{\"a\":\"\xff\"}, 2 ,[[]],\"]\"]").unwrap();
        assert_eq!(elements, [&b"{\"a\":\"\xff\"}"[..], b"2", b"[[]]", b"\"]\""]);
        assert_eq!((members("{}"), array(b" [ ] ")), (Some(Vec::new()), Some(Vec::new())));
        let deep = format!("[{}{}]", "[".repeat(500_000), "]".repeat(500_000));
        assert_eq!(array(deep.as_bytes()).map(|all| all.len()), Some(1));
    }

    #[test]
    fn what_has_no_parts_is_told() {
        for bad in [
            "",
            "{",
            "}",
            "[]",
            "null",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{\"a\":1}x",
            "{\"a\":[}",
            "{a:1}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "{,}",
            "{\"a\":1 \"b\":2}x",
            "{\"a\":{]}}",
        ] {
            assert_eq!(members(bad), None, "{bad}");
        }
        for bad in ["", "[", "[,]", "[1,]", "[1]]", "{}", "[\"]"] {
            assert_eq!(array(bad.as_bytes()), None, "{bad}");
        }
    }
}
