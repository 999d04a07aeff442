//! Money in the details of an event.

use kakunin_core::event::Amount;
use serde_json::Value;

// Dollars with at most two decimals that a double holds exactly; anything else is no amount.
pub(crate) fn dollars(details: &Value) -> Option<Amount> {
    let currency = "USD".to_owned().try_into().ok()?;
    let text = details.get("amount_usd")?.to_string();
    let (whole, cents) = text.split_once('.').unwrap_or((&text, "0"));
    let cents: u64 = format!("{cents:0<2}").get(..2)?.parse().ok()?;
    let minor = whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents)?;
    Some(Amount { minor, currency })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_cents() {
        let minor = |json: &str| dollars(&serde_json::from_str(json).unwrap()).map(|a| a.minor);
        assert_eq!(minor(r#"{"amount_usd":12}"#), Some(1_200));
        assert_eq!(minor(r#"{"amount_usd":12.5}"#), Some(1_250));
        assert_eq!(minor(r#"{"amount_usd":0.07}"#), Some(7));
        for none in [r#"{"amount_usd":-1}"#, r#"{"amount_usd":"12"}"#, r#"{"amount_usd":1e300}"#, "{}", "[]"]
        {
            assert_eq!(minor(none), None, "{none}");
        }
    }
}
