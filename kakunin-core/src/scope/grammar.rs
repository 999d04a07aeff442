//! The grammar over text: whether a text follows it, and whether one scope covers another.

/// Most octets in one scope.
pub const MAX_SCOPE_LEN: usize = 128;

/// Whether scope text `granted` covers scope text `wanted`. Both must have been checked.
#[must_use]
pub fn covers(granted: &str, wanted: &str) -> bool {
    let (Some((gv, gr)), Some((wv, wr))) = (granted.split_once(':'), wanted.split_once(':')) else {
        return false;
    };
    if gv != "*" && gv != wv {
        return false;
    }
    match gr.strip_suffix('*') {
        Some("") => true,
        // `accounts/` is kept with its slash, so that only whole segments match, and at least one.
        Some(prefix) => wr.len() > prefix.len() && wr.starts_with(prefix),
        None => gr == wr,
    }
}

/// Checks one scope text against the grammar; the error is a byte offset and the rule.
///
/// # Errors
/// The place and the rule that is broken.
pub fn check(text: &str) -> Result<(), (usize, &'static str)> {
    if text.len() > MAX_SCOPE_LEN {
        return Err((MAX_SCOPE_LEN, "a scope has at most 128 bytes"));
    }
    let Some((verb, resource)) = text.split_once(':') else {
        return Err((text.len(), "a scope is verb:resource"));
    };
    if verb != "*" {
        check_word(verb, 32, b"-_", false, "a verb is a-z then a-z 0-9 - _, up to 32, or *")?;
    }
    if resource == "*" {
        return Ok(());
    }
    let mut at = verb.len() + 1;
    let body = resource.strip_suffix("/*").unwrap_or(resource);
    for seg in body.split('/') {
        check_word(seg, 64, b"-_.", true, "a segment is a-z 0-9 then a-z 0-9 - _ ., up to 64")
            .map_err(|(offset, rule)| (at + offset, rule))?;
        at += seg.len() + 1;
    }
    Ok(())
}

fn check_word(
    word: &str,
    max: usize,
    also: &[u8],
    digit_first: bool,
    rule: &'static str,
) -> Result<(), (usize, &'static str)> {
    let fits = |(i, b): (usize, u8)| {
        b.is_ascii_lowercase()
            || (b.is_ascii_digit() && (i > 0 || digit_first))
            || (i > 0 && also.contains(&b))
    };
    match word.bytes().enumerate().find(|&pair| !fits(pair)) {
        Some((at, _)) => Err((at, rule)),
        None if word.is_empty() || word.len() > max => Err((word.len().min(max), rule)),
        None => Ok(()),
    }
}
