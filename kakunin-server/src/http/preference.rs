//! `Accept` (RFC 9110, 12.5.1): which of the forms that there are a client wants.
//!
//! Ours: `headers` has no `Accept`, and `headers-accept` answers 10 of the 26 rows below otherwise. One range that is
//! malformed takes the whole field with it, `q=2` counts as 1, and a type with a parameter fits no offer.

use axum::http::{HeaderMap, StatusCode, header};

use super::error::ApiError;

const PROBLEM: &str = "application/problem+json";
const JSON: &str = "application/json";

/// How much a client wants a form: its weight in thousandths, and how closely it named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    weight: u16,
    closeness: u8,
    /// Behind how many others it stands.
    place: usize,
}

/// Which of `offers` a client wants most, the first if it does not say. Of those it wants alike it gets the one that it named
/// more closely, then the one that it named first. What nobody offers is not looked at: a client that names nothing of
/// `offers` gets the first that it did not exclude.
///
/// # Errors
/// 406, if it excludes each.
pub(crate) fn preferred(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, ApiError> {
    let rank = |offer: &&'static str| match wanted(headers, offer) {
        Some(Wanted { weight: 0, .. }) => None,
        Some(Wanted { weight, closeness, place }) => Some((weight, closeness, usize::MAX - place)),
        None => Some((0, 0, 0)),
    };
    let mut best = None;
    for offer in offers {
        if let Some(rank) = rank(offer)
            && best.is_none_or(|(most, _)| rank > most)
        {
            best = Some((rank, *offer));
        }
    }
    best.map(|(_, offer)| offer).ok_or_else(|| {
        let sentence = format!("`Accept` excludes all that there is: {}", offers.join(", "));
        ApiError::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", sentence)
    })
}

/// Whether refusals are to be RFC 9457: if that is named and not wanted less than the usual form. Whoever takes anything
/// gets the usual form.
pub(crate) fn wants_problem(headers: &HeaderMap) -> bool {
    let Some(problem) = wanted(headers, PROBLEM).filter(|problem| problem.weight > 0) else {
        return false;
    };
    let usual = wanted(headers, JSON).map_or(0, |usual| usual.weight);
    problem.weight > usual || problem.weight == usual && problem.closeness == 2
}

/// What the range that fits closest says of a type, if any fits.
fn wanted(headers: &HeaderMap, kind: &str) -> Option<Wanted> {
    let lines = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let ranges = lines.flat_map(|line| unquoted(line, ',')).enumerate();
    let fitting = ranges.filter_map(|(place, range)| {
        let mut parts = unquoted(range, ';');
        let closeness = fits(parts.next()?.trim(), kind)?;
        let weight = parts.map(str::trim).find_map(q).unwrap_or(Some(1_000))?;
        Some(Wanted { weight, closeness, place })
    });
    // Of two that fit alike the first one counts.
    fitting.reduce(|best, next| if next.closeness > best.closeness { next } else { best })
}

fn fits(range: &str, kind: &str) -> Option<u8> {
    let (top, _) = kind.split_once('/')?;
    match range.split_once('/')? {
        _ if range.eq_ignore_ascii_case(kind) => Some(2),
        (of, "*") if of.eq_ignore_ascii_case(top) => Some(1),
        ("*", "*") => Some(0),
        _ => None,
    }
}

/// The weight, if this parameter is one: `None` within if it is malformed.
fn q(parameter: &str) -> Option<Option<u16>> {
    let (name, value) = parameter.split_once('=')?;
    name.eq_ignore_ascii_case("q").then(|| thousandths(value))
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "0" if digits => format!("{fraction:0<3}").parse().ok(),
        "1" if digits && fraction.bytes().all(|b| b == b'0') => Some(1_000),
        _ => None,
    }
}

/// The parts between separators that stand outside of quotation marks.
fn unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let separates = c == separator && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && quoted && !escaped;
        separates
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| (header::ACCEPT, line.parse().unwrap()));
        lines.collect()
    }

    #[test]
    fn a_client_gets_what_it_wants_most() {
        const OFFERS: [&str; 2] = ["application/json", "text/html"];
        let preferred = |lines: &[&str]| preferred(&accepting(lines), &OFFERS).unwrap_or("none");
        for (lines, expected) in [
            (&[][..], "application/json"),
            (&[""], "application/json"),
            (&["*/*"], "application/json"),
            (&["text/html"], "text/html"),
            (&["TEXT/HTML"], "text/html"),
            (&["text/*"], "text/html"),
            (&["Text/*;Q=0.1"], "text/html"),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], "text/html"),
            (&["text/html, */*"], "text/html"),
            (&["text/html;q=0.5, */*"], "application/json"),
            (&["text/html;q=0.5, application/json;q=0.6"], "application/json"),
            (&["text/html;q=0.6", "application/json ; q=0.5"], "text/html"),
            (&["application/xml", "text/html"], "text/html"),
            (&["application/xml"], "application/json"),
            (&["application/json;q=0"], "text/html"),
            (&["text/html;q=0, */*"], "application/json"),
            (&["application/json;q=0.000, */*;q=0.001"], "text/html"),
            (&["*/*;q=0"], "none"),
            (&["*/*;q=0, text/html"], "text/html"),
            (&["application/*;q=0, text/*;q=0.0"], "none"),
            (&["text/html;q=2"], "application/json"),
            (&["text/html;q=-1, text/html;q=0.0001"], "application/json"),
            (&[r#"text/html;x="a,b\";q=0,";q=1"#], "text/html"),
            (&[r#"application/json;x=",text/html";q=0.3, text/html;q=0.2"#], "application/json"),
            (&["text/html;charset=utf-8"], "text/html"),
            (&["html, text, /, ;q=1, */html"], "application/json"),
        ] {
            assert_eq!(preferred(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn refusals_are_in_the_form_that_is_named() {
        for (line, expected) in [
            ("application/problem+json", true),
            ("Application/Problem+JSON", true),
            ("application/json, application/problem+json", true),
            ("application/problem+json;q=0.5, */*;q=0.1", true),
            ("application/json;q=0, */*", true),
            ("application/problem+json;q=0", false),
            ("application/problem+json;q=0, */*", false),
            ("application/json, application/problem+json;q=0.5", false),
            ("*/*", false),
            ("application/*", false),
            ("application/problem+jsonx", false),
        ] {
            assert_eq!(wants_problem(&accepting(&[line])), expected, "{line}");
        }
        assert!(wants_problem(&accepting(&["text/html", "application/problem+json"])));
        assert!(!wants_problem(&HeaderMap::new()));
    }
}
