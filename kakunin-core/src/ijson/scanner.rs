//! One walk over a text: the grammar of JSON (RFC 8259), and what I-JSON forbids of it.

use std::borrow::Cow;

use super::decimal::Decimal;
use super::error::{MAX_DEPTH, Why};
use super::fault::{Fault, Step};

pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn space(&mut self) {
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

    pub(super) fn value(&mut self, depth: usize) -> Result<(), Fault> {
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
