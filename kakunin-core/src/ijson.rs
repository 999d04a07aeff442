//! JSON that every reader takes for the same: I-JSON (RFC 7493), looked for in the text, before a parser has
//! rounded its numbers or dropped a member that comes twice.
//!
//! Canonical JSON (RFC 8785) is defined for I-JSON alone. What is signed or kept here goes through [`check`]
//! first, so that one signature belongs to one message, and what is given back is what was given.
//!
//! | refused | because |
//! |---|---|
//! | a whole number beyond ±(2^53 - 1), written as `9007199254740993`, `9007199254740993.0` or `9.1e17` | JavaScript and every double change its digits |
//! | a fraction that no double prints, such as `0.1234567890123456789` or `1.0000000000000001` | its last digits change |
//! | `1e400`, `1e-400`, `-0` | they become infinity, zero, and zero |
//! | a member that comes twice, also spelled by escapes | some readers take the first, some the last |
//! | half of a surrogate pair | it is no text |
//!
//! Noncharacters such as U+FFFE, which RFC 7493 forbids as well, pass: no reader changes them.

use std::borrow::Cow;

/// How deep values may be nested.
pub const MAX_DEPTH: usize = 127;

/// Largest whole number that every reader keeps, 2^53 - 1.
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// Why a text is not I-JSON, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", place(.path))]
pub struct IJsonError {
    /// Which member, such as `payload.orders[2].id`; empty for the whole text. Cut, and free of control characters.
    pub path: String,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a text, or with a value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// It is not JSON.
    #[error("not JSON")]
    Syntax,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("values are nested deeper than {MAX_DEPTH}; send them flatter")]
    Depth,
    /// A member comes twice.
    #[error("the member comes twice; send it once")]
    Duplicate,
    /// A number that a double does not hold to the digit. Its beginning is shown.
    #[error("not every reader keeps the number {0} to the digit (RFC 7493); send it as a string")]
    Number(String),
    /// Half of a surrogate pair.
    #[error("the text holds half of a surrogate pair (RFC 7493); send whole characters")]
    Surrogate,
}

fn place(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{path}`: ") }
}

impl IJsonError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.why {
            Why::Syntax | Why::Depth => "json_malformed",
            Why::Duplicate => "json_member_twice",
            Why::Number(_) => "json_number_inexact",
            Why::Surrogate => "json_surrogate",
        }
    }

    /// Whether it is JSON at all, and only not I-JSON.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        !matches!(self.why, Why::Syntax | Why::Depth)
    }
}

/// Whether `text` is one I-JSON value. Takes time in proportion to its length.
///
/// ```
/// use kakunin_core::ijson::check;
///
/// assert!(check(r#"{"amount": 12.5, "at": "1732900000000000000"}"#).is_ok());
/// let error = check(r#"{"payload": {"at": 1732900000000000000}}"#).unwrap_err();
/// assert_eq!((error.path.as_str(), error.code()), ("payload.at", "json_number_inexact"));
/// ```
///
/// # Errors
/// [`IJsonError`] for the first value that is not.
pub fn check(text: &str) -> Result<(), IJsonError> {
    let mut scanner = Scanner { text, at: 0 };
    scanner.value(0).map_err(Fault::into_error)?;
    scanner.space();
    if scanner.at == text.len() { Ok(()) } else { Err(Fault::from(Why::Syntax).into_error()) }
}

/// A fault with the way to it, innermost step first.
struct Fault {
    way: Vec<Step>,
    why: Why,
}

enum Step {
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
    fn within(mut self, step: Step) -> Self {
        self.way.push(step);
        self
    }

    fn into_error(self) -> IJsonError {
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
    fn member(name: &str) -> Self {
        Self::Member(name.chars().take(SHOWN_NAME).map(|c| if c.is_control() { '?' } else { c }).collect())
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// What comes next after white space, if it is `octet`, is taken.
    fn takes(&mut self, octet: u8) -> bool {
        self.space();
        let is = self.peek() == Some(octet);
        self.at += usize::from(is);
        is
    }

    fn expects(&mut self, octet: u8) -> Result<(), Fault> {
        if self.takes(octet) { Ok(()) } else { Err(Why::Syntax.into()) }
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        self.space();
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(Why::Depth.into()),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => ["true", "false", "null"].iter().find(|word| self.rest().starts_with(**word)).map_or_else(
                || Err(Why::Syntax.into()),
                |word| {
                    self.at += word.len();
                    Ok(())
                },
            ),
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn object(&mut self, depth: usize) -> Result<(), Fault> {
        self.expects(b'{')?;
        let mut names = Vec::new();
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let name = self.string()?;
            self.expects(b':')?;
            self.value(depth).map_err(|fault| fault.within(Step::member(&name)))?;
            names.push(name);
            if !self.takes(b',') {
                break;
            }
        }
        self.expects(b'}')?;
        names.sort_unstable();
        let twice = names.windows(2).find_map(|pair| match pair {
            [one, other] if one == other => Some(one),
            _ => None,
        });
        match twice {
            Some(name) => Err(Fault::from(Why::Duplicate).within(Step::member(name))),
            None => Ok(()),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Fault> {
        self.expects(b'[')?;
        if self.takes(b']') {
            return Ok(());
        }
        let mut at = 0;
        loop {
            self.value(depth).map_err(|fault| fault.within(Step::Item(at)))?;
            at += 1;
            if !self.takes(b',') {
                return self.expects(b']');
            }
        }
    }

    /// A string, as it is meant.
    fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.peek() != Some(b'"') {
            return Err(Why::Syntax.into());
        }
        self.at += 1;
        let mut meant = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let end = rest.bytes().position(|b| b == b'"' || b == b'\\' || b < b' ');
            let end = end.ok_or(Why::Syntax)?;
            let plain = rest.get(..end).ok_or(Why::Syntax)?;
            if meant.is_empty() {
                meant = Cow::Borrowed(plain)
            } else {
                meant.to_mut().push_str(plain)
            }
            self.at += end + 1;
            match rest.as_bytes().get(end) {
                Some(b'"') => return Ok(meant),
                Some(b'\\') => {
                    let escaped = self.escaped()?;
                    meant.to_mut().push(escaped);
                }
                _ => return Err(Why::Syntax.into()),
            }
        }
    }

    /// What stands after a backslash.
    fn escaped(&mut self) -> Result<char, Fault> {
        let kind = self.peek().ok_or(Why::Syntax)?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.code_point(),
            _ => return Err(Why::Syntax.into()),
        })
    }

    fn code_point(&mut self) -> Result<char, Fault> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            // The second half alone is no character, either.
            return Ok(char::from_u32(first).ok_or(Why::Surrogate)?);
        }
        if !self.rest().starts_with("\\u") {
            return Err(Why::Surrogate.into());
        }
        self.at += 2;
        let second = self.four_digits()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(Why::Surrogate.into());
        }
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        Ok(char::from_u32(code).ok_or(Why::Surrogate)?)
    }

    fn four_digits(&mut self) -> Result<u32, Fault> {
        let digits = self.rest().get(..4).ok_or(Why::Syntax)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Why::Syntax.into());
        }
        self.at += 4;
        Ok(u32::from_str_radix(digits, 16).map_err(|_| Why::Syntax)?)
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(Why::Syntax.into());
        }
        let mut fraction = None;
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = Some(self.digits()?);
        }
        let mut exponent = None;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let minus = self.peek() == Some(b'-');
            self.at += usize::from(matches!(self.peek(), Some(b'-' | b'+')));
            // Whatever has so many digits is far out of range.
            let size = self.digits()?.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
            exponent = Some(if minus { -size } else { size });
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let plain = fraction.is_none() && exponent.is_none();
        let decimal = Decimal::new(whole, fraction.unwrap_or_default(), exponent.unwrap_or_default());
        if decimal.is_kept(text, plain) {
            Ok(())
        } else {
            Err(Why::Number(text.chars().take(40).collect()).into())
        }
    }

    fn digits(&mut self) -> Result<&'a str, Fault> {
        let rest = self.rest();
        let count = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        rest.get(..count).filter(|digits| !digits.is_empty()).ok_or_else(|| Why::Syntax.into())
    }
}

/// A number without its sign: 0.`digits` times ten to the power of `point`, no zero at either end.
#[derive(PartialEq, Eq)]
struct Decimal<'a> {
    digits: Cow<'a, str>,
    point: i64,
}

impl<'a> Decimal<'a> {
    fn new(whole: &'a str, fraction: &'a str, exponent: i64) -> Self {
        let all =
            if fraction.is_empty() { Cow::Borrowed(whole) } else { Cow::Owned([whole, fraction].concat()) };
        let leading = all.bytes().take_while(|b| *b == b'0').count();
        let end = all.trim_end_matches('0').len().max(leading);
        let digits = match all {
            Cow::Borrowed(all) => Cow::Borrowed(all.get(leading..end).unwrap_or_default()),
            Cow::Owned(all) => Cow::Owned(all.get(leading..end).unwrap_or_default().to_owned()),
        };
        let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
        let point = places(whole.len()).saturating_sub(places(leading)).saturating_add(exponent);
        Self { digits, point }
    }

    /// As Rust writes it in the form `1.5e-7`.
    fn written(text: &'a str) -> Option<Self> {
        let (mantissa, exponent) = text.trim_start_matches('-').split_once('e')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Some(Self::new(whole, fraction, exponent.parse().ok()?))
    }

    /// Whether a double holds it to the digit: what canonical JSON writes of the double is this number.
    fn is_kept(&self, text: &str, plain: bool) -> bool {
        if self.digits.is_empty() {
            return !text.starts_with('-');
        }
        // Fifteen digits always are, in the range of whole numbers that are.
        if self.digits.len() <= 15 && (-290..=15).contains(&self.point) {
            return true;
        }
        if plain {
            return text.trim_start_matches('-').parse::<u64>().is_ok_and(|n| n <= MAX_INTEGER);
        }
        let Ok(double) = text.parse::<f64>() else { return false };
        // Canonical JSON writes these as whole numbers (RFC 8785, 3.2.2.3), larger ones with an exponent.
        if !double.is_finite() || (9_007_199_254_740_992.0..1e21).contains(&double.abs()) {
            return false;
        }
        Decimal::written(&format!("{double:e}")).is_some_and(|shortest| shortest == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> (String, &'static str) {
        let error = check(text).unwrap_err();
        (error.path.clone(), error.code())
    }

    #[test]
    fn numbers_are_kept_to_the_digit_or_refused() {
        let kept = "0 0.0 0e9 7 -1 1.0 1e0 9007199254740991 -9007199254740991 9007199254740991.0 1000000000000000 \
                    0.1 12.50 4.50 2e-3 0.30000000000000004 333333333.3333333 0.000000000000000000000000001 \
                    1e21 1E30 -1.5e300 5e-324 2.2250738585072014e-308 1.7976931348623157e308";
        for kept in kept.split_whitespace() {
            assert_eq!(check(kept), Ok(()), "{kept}");
        }
        // 333333333.33333329 is of the example in RFC 8785, 3.2.2, which writes it as 333333333.3333333.
        let lost = "9007199254740992 9007199254740993 -9007199254740992 1732900000000000000 18446744073709551615 \
                    18446744073709551616 100000000000000000000000 9007199254740993.0 9007199254740992.0 9.1e17 1e20 \
                    900719925474099300e-2 9007199254740991.5 0.1234567890123456789 3.14159265358979323846 \
                    0.30000000000000005 0.10000000000000001 1.0000000000000001 1.00000000000000000000000001 \
                    333333333.33333329 1e400 -1e400 1e-400 4e-324 1.7976931348623159e308 -0 -0.0 -0e5 \
                    0.1e99999999999999999999";
        for lost in lost.split_whitespace() {
            assert_eq!(why(lost).1, "json_number_inexact", "{lost}");
            assert_eq!(why(&format!("[{lost}]")).0, "[0]", "{lost}");
        }
    }

    #[test]
    fn the_member_is_named() {
        assert_eq!(why(r#"{"a":[{"b":1},{"b":{"c":1e400}}]}"#).0, "a[1].b.c");
        assert_eq!(why(r#"{"a":{"b":1,"\u0062":2}}"#), ("a.b".to_owned(), "json_member_twice"));
        assert_eq!(why(r#"{"":0,"":0}"#).1, "json_member_twice");
        assert_eq!(why(r#"{"a\nb":-0}"#).0, "a?b");
        assert_eq!(check("1e400").unwrap_err().to_string().matches('`').count(), 0);
        let long = format!("{{\"{}\":{}}}", "n".repeat(9_999), "9".repeat(9_999));
        assert!(check(&long).unwrap_err().to_string().len() < 400);
    }

    #[test]
    fn halves_of_pairs_are_no_text() {
        for half in [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#"{"\udfff":0}"#] {
            assert_eq!(why(half).1, "json_surrogate", "{half}");
        }
        assert_eq!(check(r#"["\ud83d\ude00", "😀", "\uffff\u0000"]"#), Ok(()));
        assert_eq!(why(r#"{"😀":1,"\ud83d\ude00":2}"#).1, "json_member_twice");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
        for depth in [MAX_DEPTH + 1, 1_000_000] {
            assert_eq!(check(&nested(depth)).unwrap_err().why, Why::Depth);
        }
    }

    /// serde_json is the oracle of the grammar, on texts that are a few octets away from JSON.
    #[test]
    #[cfg(feature = "feed")]
    fn it_is_json_exactly_when_a_parser_says_so() {
        let seeds = [
            r#"{"a":[1,-2.5e+3,true,false,null,{}],"b":{"c":"\u00e9\n\ud83d\ude00"},"":[]}"#,
            r#" [ 0 , 10 , 1e5 , "x" , { "y" : [ [ ] ] } ] "#,
        ];
        let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        const WITH: &[u8] = br#"{}[]",:\-+.eE0129untf x"#;
        let (mut good, mut bad) = (0, 0);
        for _ in 0..100_000 {
            let mut text = seeds[random(2)].as_bytes().to_vec();
            for _ in 0..=random(2) {
                let (at, with) = (random(text.len()), WITH[random(WITH.len())]);
                if random(2) == 0 { text[at] = with } else { text.insert(at, with) }
            }
            let Ok(text) = String::from_utf8(text) else { continue };
            let parsed = serde_json::from_str::<serde_json::Value>(&text);
            match check(&text) {
                Ok(()) => assert!(parsed.is_ok(), "{text}"),
                Err(error) if !error.is_json() => assert!(parsed.is_err(), "{text}"),
                Err(_) => {}
            }
            if parsed.is_ok() { good += 1 } else { bad += 1 }
        }
        assert!(good > 1_000 && bad > 1_000, "{good} {bad}");
    }
}
