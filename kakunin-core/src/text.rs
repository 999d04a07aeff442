//! What a name may hold that people see: in a certificate's subject, on a public page, in a table.
//!
//! After the FreeformClass and the Nickname profile of PRECIS (RFC 8264, 4.3; RFC 8266), without what renders as
//! nothing, as something else, or elsewhere than it stands. Nothing is mapped: whoever chose the name is told
//! which character it is. With the feature `service`, which takes names, it has to be in NFC, and nothing in it
//! unassigned. Names on record from before this profile are still read: see [`visible`].

use std::borrow::Cow;

/// A character that a name or a remark cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its character {at} is U+{code:04X}, {why}; {}", self.remedy(), code = u32::from(*.character))]
pub struct TextError {
    /// Which character.
    pub character: char,
    /// Which place, from 1, counted in characters.
    pub at: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl TextError {
    fn remedy(&self) -> &'static str {
        if self.why == DECOMPOSED { "send the name in that form" } else { "take it out" }
    }
}

/// Checks a name: one line, nothing in it that is not seen, no space but single ones between words.
///
/// # Errors
/// [`TextError`] names the first character that cannot stand there.
pub fn check_name(text: &str) -> Result<(), TextError> {
    first(text, hidden)?;
    let mut before = ' ';
    let mut left = text.chars().count();
    for (at, character) in (1..).zip(text.chars()) {
        left -= 1;
        if character == ' ' && (before == ' ' || left == 0) {
            let why = if at == 1 || left == 0 { "a space at its end" } else { "a second space" };
            return Err(TextError { character, at, why });
        }
        before = character;
    }
    composed::check(text)
}

/// Checks a remark in somebody's own words: several lines, and what emoji and scripts need to be joined, but
/// nothing that hides text or moves it elsewhere.
///
/// # Errors
/// As [`check_name`].
pub fn check_prose(text: &str) -> Result<(), TextError> {
    first(text, misleads)
}

fn misleads(c: char) -> Option<&'static str> {
    match c {
        '\n' | '\t' | '\u{ad}' | '\u{34f}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => None,
        c => hidden(c).filter(|why| *why != WIDE),
    }
}

/// `text` with what [`check_name`] refuses in it written out, as `\u{202e}`: for terminals and logs.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    written_out(text, hidden)
}

/// `text` with what [`check_prose`] refuses in it written out in the same way.
#[must_use]
pub fn visible_prose(text: &str) -> Cow<'_, str> {
    written_out(text, misleads)
}

fn written_out(text: &str, why: impl Fn(char) -> Option<&'static str>) -> Cow<'_, str> {
    if text.chars().all(|c| why(c).is_none()) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match why(c) {
                None => out.push(c),
                Some(_) => out.extend(c.escape_unicode()),
            }
            out
        })
        .into()
}

/// Why a character is not seen as what it is; `None` if it is.
#[must_use]
pub fn hidden(c: char) -> Option<&'static str> {
    if u32::from(c) & 0xfffe == 0xfffe {
        return Some("no character");
    }
    let at = HIDDEN.partition_point(|(_, last, _)| *last < c);
    HIDDEN.get(at).filter(|(first, ..)| *first <= c).map(|(.., why)| *why)
}

fn first(text: &str, why: impl Fn(char) -> Option<&'static str>) -> Result<(), TextError> {
    let found =
        (1..).zip(text.chars()).find_map(|(at, character)| why(character).map(|why| (at, character, why)));
    match found {
        Some((at, character, why)) => Err(TextError { character, at, why }),
        None => Ok(()),
    }
}

/// What needs tables of Unicode's.
#[cfg(feature = "service")]
mod composed {
    use unicode_normalization::UnicodeNormalization;
    use unicode_normalization::char::is_combining_mark;
    use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

    use super::{DECOMPOSED, TextError};

    /// Most marks on one letter (UTS #39, 5.4).
    const MAX_MARKS: usize = 4;

    pub(super) fn check(text: &str) -> Result<(), TextError> {
        let (mut marks, mut before) = (0, ' ');
        for (at, character) in (1..).zip(text.chars()) {
            let refused = |why| Err(TextError { character, at, why });
            if character.general_category() == GeneralCategory::Unassigned {
                return refused("not assigned");
            }
            marks = if is_combining_mark(character) { marks + 1 } else { 0 };
            if marks == 1 && before == ' ' {
                return refused("a mark without a letter before it");
            }
            if marks > MAX_MARKS {
                return refused("one mark too many on its letter");
            }
            before = character;
        }
        let differs = (1..).zip(text.chars().zip(text.nfc())).find(|(_, (is, composed))| is != composed);
        match differs {
            Some((at, (character, _))) => Err(TextError { character, at, why: DECOMPOSED }),
            // Composing only shortens a text at its end if it changed nothing before.
            None if text.nfc().count() != text.chars().count() => {
                let (at, character) = (1..).zip(text.chars()).last().unwrap_or((1, ' '));
                Err(TextError { character, at, why: DECOMPOSED })
            }
            None => Ok(()),
        }
    }
}

#[cfg(not(feature = "service"))]
mod composed {
    use super::TextError;

    pub(super) const fn check(_: &str) -> Result<(), TextError> {
        Ok(())
    }
}

const DECOMPOSED: &str = "not in its composed form (NFC)";
const CONTROL: &str = "a control character";
const FORMAT: &str = "a format character, which is not seen";
const BIDI: &str = "a direction control, which makes text read otherwise than it stands";
const ZERO: &str = "of no width, and not seen";
const FILLER: &str = "a filler, which is not seen";
const VARIANT: &str = "a variation selector";
const WIDE: &str = "a space of another kind";
const BREAK: &str = "a line break";
const PRIVATE: &str = "for private use";
const NONE: &str = "no character";
const LOST: &str = "what is written for text that was lost";

/// In order, without gaps in meaning: General_Category Cc, Cf, Co, Zl, Zp, and Zs but the space;
/// Default_Ignorable_Code_Point; noncharacters; and what renders as nothing.
const HIDDEN: &[(char, char, &str)] = &[
    ('\0', '\u{1f}', CONTROL),
    ('\u{7f}', '\u{9f}', CONTROL),
    ('\u{a0}', '\u{a0}', WIDE),
    ('\u{ad}', '\u{ad}', FORMAT),
    ('\u{34f}', '\u{34f}', FORMAT),
    ('\u{600}', '\u{605}', FORMAT),
    ('\u{61c}', '\u{61c}', BIDI),
    ('\u{6dd}', '\u{6dd}', FORMAT),
    ('\u{70f}', '\u{70f}', FORMAT),
    ('\u{890}', '\u{891}', FORMAT),
    ('\u{8e2}', '\u{8e2}', FORMAT),
    ('\u{115f}', '\u{1160}', FILLER),
    ('\u{1680}', '\u{1680}', WIDE),
    ('\u{17b4}', '\u{17b5}', FILLER),
    ('\u{180b}', '\u{180d}', VARIANT),
    ('\u{180e}', '\u{180e}', ZERO),
    ('\u{180f}', '\u{180f}', VARIANT),
    ('\u{2000}', '\u{200a}', WIDE),
    ('\u{200b}', '\u{200d}', ZERO),
    ('\u{200e}', '\u{200f}', BIDI),
    ('\u{2028}', '\u{2029}', BREAK),
    ('\u{202a}', '\u{202e}', BIDI),
    ('\u{202f}', '\u{202f}', WIDE),
    ('\u{205f}', '\u{205f}', WIDE),
    ('\u{2060}', '\u{2065}', ZERO),
    ('\u{2066}', '\u{2069}', BIDI),
    ('\u{206a}', '\u{206f}', FORMAT),
    ('\u{2800}', '\u{2800}', FILLER),
    ('\u{3000}', '\u{3000}', WIDE),
    ('\u{3164}', '\u{3164}', FILLER),
    ('\u{e000}', '\u{f8ff}', PRIVATE),
    ('\u{fdd0}', '\u{fdef}', NONE),
    ('\u{fe00}', '\u{fe0f}', VARIANT),
    ('\u{feff}', '\u{feff}', ZERO),
    ('\u{ffa0}', '\u{ffa0}', FILLER),
    ('\u{fff0}', '\u{fffb}', FORMAT),
    ('\u{fffc}', '\u{fffd}', LOST),
    ('\u{110bd}', '\u{110bd}', FORMAT),
    ('\u{110cd}', '\u{110cd}', FORMAT),
    ('\u{13430}', '\u{1343f}', FORMAT),
    ('\u{1bca0}', '\u{1bca3}', FORMAT),
    ('\u{1d159}', '\u{1d159}', FILLER),
    ('\u{1d173}', '\u{1d17a}', FORMAT),
    ('\u{e0000}', '\u{e007f}', "a tag character, which is not seen"),
    ('\u{e0080}', '\u{e00ff}', FORMAT),
    ('\u{e0100}', '\u{e01ef}', VARIANT),
    ('\u{e01f0}', '\u{e0fff}', FORMAT),
    ('\u{f0000}', '\u{10ffff}', PRIVATE),
];

#[cfg(test)]
#[cfg(feature = "service")]
mod tests {
    use unicode_properties::{GeneralCategory as Category, UnicodeGeneralCategory};

    use super::*;

    #[test]
    fn the_table_has_every_category_that_is_not_seen() {
        assert!(HIDDEN.windows(2).all(|w| w[0].0 <= w[0].1 && w[0].1 < w[1].0));
        for c in '\0'..=char::MAX {
            let category = c.general_category();
            let unseen = matches!(
                category,
                Category::Control
                    | Category::Format
                    | Category::PrivateUse
                    | Category::LineSeparator
                    | Category::ParagraphSeparator
            ) || category == Category::SpaceSeparator && c != ' ';
            assert!(!unseen || hidden(c).is_some(), "U+{:04X} is {category:?}", u32::from(c));
        }
    }

    #[test]
    fn names_of_every_script_pass() {
        for name in [
            "a",
            "trading-agent-003",
            "Zoë's agent",
            "Müller & Söhne GmbH",
            "株式会社アクメ",
            "Агент 7",
            "وكيل",
            "סוכן",
            "เอเจนต์",
            "एजेंट",
            "에이전트",
            "Ω-1",
            "🤖 helper",
            "a.b_c:d/e",
        ] {
            assert_eq!(check_name(name), Ok(()), "{name}");
            assert_eq!(visible(name), name);
        }
    }

    #[test]
    fn what_is_not_seen_is_named() {
        for (text, code, at) in [
            ("desk\u{202e}7", 0x202e, 5),
            ("\u{200b}a", 0x200b, 1),
            ("a\u{e0041}", 0xe0041, 2),
            ("a\u{2028}b", 0x2028, 2),
            ("a\u{fdd0}", 0xfdd0, 2),
            ("a\u{1fffe}", 0x1fffe, 2),
            ("a\u{ffff}", 0xffff, 2),
            ("a\u{e000}", 0xe000, 2),
            ("a\u{378}", 0x378, 2),
            ("\u{301}a", 0x301, 1),
            ("a \u{301}", 0x301, 3),
            (" a", 0x20, 1),
            ("a ", 0x20, 2),
            ("a  b", 0x20, 3),
            ("e\u{301}", 0x65, 1),
            ("\u{212b}", 0x212b, 1),
            ("a\u{a0}b", 0xa0, 2),
            ("a\u{3164}", 0x3164, 2),
            ("a\u{fe0f}", 0xfe0f, 2),
            ("a\u{85}", 0x85, 2),
            ("a\u{2066}", 0x2066, 2),
            ("x\u{323}\u{321}\u{322}\u{325}\u{326}", 0x326, 6),
        ] {
            let error = check_name(text).unwrap_err();
            assert_eq!((u32::from(error.character), error.at), (code, at), "{error}");
            assert!(error.to_string().contains(&format!("U+{code:04X}")), "{error}");
        }
        assert_eq!(visible("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn prose_has_lines_and_joined_emoji_and_hides_nothing() {
        assert_eq!(
            check_prose("It sold\n\teverything \u{1f468}\u{200d}\u{1f4bb}\u{2764}\u{fe0f}\u{a0}!"),
            Ok(())
        );
        for text in
            ["a\u{202e}b", "\u{2067}", "a\u{2028}", "a\u{e0041}", "a\u{200b}", "\0", "a\r", "\u{fffe}"]
        {
            assert!(check_prose(text).is_err(), "{text:?}");
            assert_eq!(check_prose(&visible_prose(text)), Ok(()), "{text:?}");
        }
    }
}
