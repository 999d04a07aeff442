//! The check of a whole text.

use super::error::{IJsonError, Why};
use super::fault::Fault;
use super::scanner::Scanner;

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

#[cfg(test)]
mod tests {
    use super::super::error::MAX_DEPTH;
    use super::*;

    fn why(text: &str) -> (String, &'static str) {
        let error = check(text).unwrap_err();
        (error.path.clone(), error.code())
    }

    #[test]
    fn numbers_are_kept_to_the_digit_or_refused() {
        let kept = "0 0.0 0e9 7 -1 1.0 1e0 9007199254740991 -9007199254740991 9007199254740991.0 1000000000000000 \
                    0.1 12.50 4.50 2e-3 0.30000000000000004 333333333.3333333 111111111111511.12 0.000000000000000000000000001 \
                    1e21 1E30 -1.5e300 5e-324 2.2250738585072014e-308 1.7976931348623157e308";
        for kept in kept.split_whitespace() {
            assert_eq!(check(kept), Ok(()), "{kept}");
        }
        // 333333333.33333329 is of the example in RFC 8785, 3.2.2, which writes it as 333333333.3333333.
        let lost = "9007199254740992 9007199254740993 -9007199254740992 1732900000000000000 18446744073709551615 \
                    18446744073709551616 100000000000000000000000 9007199254740993.0 9007199254740992.0 9.1e17 1e20 \
                    900719925474099300e-2 9007199254740991.5 0.1234567890123456789 3.14159265358979323846 \
                    0.30000000000000005 0.10000000000000001 1.0000000000000001 1.00000000000000000000000001 \
                    333333333.33333329 111111111111511.13 1e400 -1e400 1e-400 4e-324 1.7976931348623159e308 -0 -0.0 -0e5 \
                    0.1e99999999999999999999";
        for lost in lost.split_whitespace() {
            assert_eq!(why(lost).1, "json_number_inexact", "{lost}");
            assert_eq!(why(&format!("[{lost}]")).0, "[0]", "{lost}");
        }
    }

    /// Another implementation of RFC 8785 decides.
    #[test]
    fn of_every_double_the_form_that_canonical_json_writes_is_kept_and_no_other_of_its_length() {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 12
        };
        let (mut kept, mut others) = (0, 0);
        for n in 0..40_000 {
            // Half of them between 2^46 and 2^53, where two forms may be as near as each other; half anywhere.
            let exponent = if n % 2 == 0 { 1_069 + next() % 7 } else { 1 + next() % 2_046 };
            let double = f64::from_bits(exponent << 52 | next());
            let text = serde_json_canonicalizer::to_string(&double).unwrap();
            let whole = (9_007_199_254_740_992.0..1e21).contains(&double);
            assert_eq!(check(&text).is_ok(), !whole, "{text}");
            kept += u32::from(!whole);
            let digits = text.split('e').next().unwrap();
            let (head, last) = digits.split_at(digits.len() - 1);
            let last: u8 = last.parse().unwrap();
            for other in [last.wrapping_sub(1), last + 1].into_iter().filter(|digit| (1..=9).contains(digit))
            {
                let other = format!("{head}{other}{}", &text[digits.len()..]);
                if other.parse::<f64>() == Ok(double) {
                    assert_eq!(why(&other).1, "json_number_inexact", "{other} beside {text}");
                    others += 1;
                }
            }
        }
        assert!(kept > 30_000 && others > 5_000, "{kept} {others}");
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
