//! Dictionaries of structured fields (RFC 8941, 3.2), as far as it takes to find our signature among others': a proxy or a
//! bot framework may sign the same request under a label of its own. What it says is nobody's business here.

use super::profile::{TAG, invalid};
use crate::denied::Denied;

/// Most octets of a field with all its signatures.
const MAX_LEN: usize = 8_192;
const MAX_MEMBERS: usize = 16;

/// The member of `Signature-Input` that is ours, by its tag. If none has it and there is one alone, that is meant to be.
///
/// # Errors
/// [`Denied`] if two have our tag: others could take either.
pub(super) fn ours(text: &str) -> Result<&str, Denied> {
    let all = members(text).ok_or_else(|| invalid("Signature-Input"))?;
    let mut tagged = all.iter().filter(|(_, member)| is_tagged(member));
    match (tagged.next(), tagged.next()) {
        (Some((label, member)), None) if all.iter().filter(|(other, _)| other == label).count() == 1 => {
            Ok(member)
        }
        (None, _) if all.len() == 1 => Ok(text),
        (None, _) => Err(invalid("tag")),
        _ => Err(invalid("Signature-Input, which has more than one signature for us")),
    }
}

/// The value of the one member with this label.
pub(super) fn labelled<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let mut found = members(text)?.into_iter().filter(|(other, _)| *other == label);
    let (_, member) = found.next().filter(|_| found.next().is_none())?;
    member.strip_prefix(label)?.strip_prefix('=')
}

/// Labels, and members as they were received.
fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    if text.len() > MAX_LEN {
        return None;
    }
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let (member, after) = cut(rest, b',')?;
        // Only what stands before a comma may have white space behind it.
        let member = if after.is_some() { member.trim_end_matches([' ', '\t']) } else { member };
        let end = member.find(['=', ';']).unwrap_or(member.len());
        let label = member.get(..end).filter(|label| is_key(label))?;
        if all.len() == MAX_MEMBERS {
            return None;
        }
        all.push((label, member));
        match after {
            Some(after) => rest = after.trim_start_matches([' ', '\t']),
            None => return Some(all),
        }
    }
}

/// What stands before the first separator outside of strings and lists, and what stands behind it. `None` for a string or
/// a list that does not end.
fn cut(text: &str, separator: u8) -> Option<(&str, Option<&str>)> {
    let (mut string, mut escaped, mut list) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            _ if string => {}
            b'(' if !list => list = true,
            b')' if list => list = false,
            b'(' | b')' => return None,
            _ if byte == separator && !list => return Some((text.get(..at)?, text.get(at + 1..))),
            _ => {}
        }
    }
    (!string && !list).then_some((text, None))
}

/// Whether a parameter gives it our tag, be there others of that name.
fn is_tagged(member: &str) -> bool {
    let mut rest = cut(member, b';').and_then(|(_, parameters)| parameters);
    while let Some((parameter, more)) = rest.and_then(|text| cut(text, b';')) {
        let value = parameter.trim_start_matches(' ').strip_prefix("tag=\"");
        if value.and_then(|value| value.strip_suffix('"')) == Some(TAG) {
            return true;
        }
        rest = more;
    }
    false
}

/// RFC 8941, 3.1.2.
pub(super) fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '*')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"kakunin=("@method");created=1;tag="kakunin-request""#;

    #[test]
    fn ours_is_found_among_others() {
        let others = [
            r#"sig1=("@authority");created=1;keyid="a,b;tag=\"kakunin-request\"";tag="web-bot-auth""#,
            r#"kakunin2=("signature";key="kakunin" "x;tag=\"kakunin-request\"")"#,
            "a",
            "b;tag=\"x\"",
            "c=:AQ==:",
            "d=1.5;x",
        ];
        for other in others {
            for text in [
                format!("{OURS}, {other}"),
                format!("{other},{OURS}"),
                format!("{other}\t, \t{OURS} ,{other}"),
            ] {
                assert_eq!(ours(&text).unwrap(), OURS, "{text}");
            }
            assert_eq!(ours(other).ok(), Some(other), "alone it is meant to be ours");
            assert!(ours(&format!("{other}, e")).is_err(), "{other}");
        }
        let second = OURS.replacen("kakunin=", "two=", 1);
        let spaced = second.replacen(";tag", "; tag", 1);
        let twice = second + ";tag=\"x\"";
        for bad in [
            format!("{OURS}, {OURS}"),
            format!("{OURS}, {spaced}"),
            format!("{OURS}, {twice}"),
            format!("{OURS}, kakunin=(\"@path\")"),
            format!("{OURS},"),
            format!(",{OURS}"),
            format!("{OURS}, X=1"),
            format!("{OURS}, a=\"b"),
            format!("{OURS}, a=(b"),
            format!("{OURS}, a=b)"),
            format!("{OURS}{}", ",a=1".repeat(16)),
            format!("{OURS}, a={}", "x".repeat(8_192)),
        ] {
            assert!(ours(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_signature_is_found_by_its_label() {
        for text in ["k=:AQ==:", "a=:AA==:, k=:AQ==:", "k=:AQ==: ,kk=:AA==:,a;x=\"k=:AA==:, k=:AA==:\""] {
            assert_eq!(labelled(text, "k"), Some(":AQ==:"), "{text}");
        }
        for text in
            ["", "k", "k;x=1", "kk=:AQ==:", "k=:AQ==:, k=:AQ==:", "k=:AQ==:,", "k=:AQ==:, \"", "K=:AQ==:"]
        {
            assert_eq!(labelled(text, "k"), None, "{text}");
        }
    }
}
