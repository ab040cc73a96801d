//! The patience that an answer asks for: `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// Milliseconds from now on. A date counts from the answer's own `Date`, so that no two clocks are compared; without one it
/// is not used.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = if let Ok(seconds) = text.parse::<u64>() {
        seconds
    } else {
        let until = date(text)?;
        let now = date(headers.get(DATE)?.to_str().ok()?)?;
        u64::try_from(until.saturating_sub(now)).unwrap_or(0)
    };
    Some(seconds.saturating_mul(1000))
}

/// Seconds since 1970 of an HTTP date.
fn date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|at| at.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_nonsense_is_not() {
        let now = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (value, sent, expected) in [
            ("0", "", Some(0)),
            (" 120 ", "", Some(120_000)),
            ("99999999999", "", Some(99_999_999_999_000)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", now, Some(30_000)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", now, Some(0)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", "", None),
            ("soon", now, None),
            ("-5", now, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            if !sent.is_empty() {
                headers.insert(DATE, sent.parse().unwrap());
            }
            assert_eq!(retry_after_ms(&headers), expected, "{value:?}");
        }
        assert_eq!(retry_after_ms(&HeaderMap::new()), None);
    }
}
