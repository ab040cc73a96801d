//! Times and durations, in milliseconds. Only the store's clock makes a [`TimeMs`]; nothing here reads one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment: milliseconds since 1970-01-01T00:00:00Z by the store's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeMs(pub u64);

impl TimeMs {
    /// This moment and a duration after it; stops at the largest value instead of wrapping.
    #[must_use]
    pub fn plus(self, duration: DurationMs) -> Self {
        Self(self.0.saturating_add(duration.0))
    }

    /// From `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> DurationMs {
        DurationMs(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with milliseconds.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .map_or_else(|| format!("{}ms", self.0), |at| format!("{at:.3}"))
    }
}

/// A length of time in milliseconds. Written as `250ms`, `10s`, `1.5m`, `1h30m`, `7d`, or a bare number of milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DurationMs(pub u64);

impl DurationMs {
    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// Both after another; stops at the largest value instead of wrapping.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// As the standard library has it.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl utoipa::PartialSchema for TimeMs {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        super::schema::number("Milliseconds since 1970-01-01T00:00:00Z by the store's clock.")
    }
}

impl utoipa::ToSchema for TimeMs {}

impl utoipa::PartialSchema for DurationMs {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        super::schema::text("A length of time: `250ms`, `10s`, `1h30m`, `7d`.")
    }
}

impl utoipa::ToSchema for DurationMs {}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("duration {0:?} is not valid: write a number with a unit (ms, s, m, h, d), such as 250ms, 10s or 1h30m")]
pub struct InvalidDuration(pub String);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for DurationMs {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let fail = || InvalidDuration(text.chars().take(80).collect());
        if let Ok(ms) = text.parse::<u64>() {
            return Ok(Self(ms));
        }
        let mut rest = text;
        let mut total = 0_f64;
        if rest.is_empty() {
            return Err(fail());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
            let number: f64 = rest[..digits].parse().map_err(|_| fail())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (_, factor) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(fail)?;
            #[expect(clippy::cast_precision_loss, reason = "the factors are small")]
            let factor = *factor as f64;
            total += number * factor;
            rest = &rest[letters..];
        }
        // 2^53: beyond it a double no longer counts milliseconds.
        if total > 9_007_199_254_740_992.0 {
            return Err(fail());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above; digits are never negative")]
        Ok(Self(total.round() as u64))
    }
}

impl fmt::Display for DurationMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, factor) in UNITS.iter().rev() {
            if rest >= *factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl Serialize for DurationMs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = DurationMs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 250ms, 10s or 1h30m")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<DurationMs, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<DurationMs, E> {
                Ok(DurationMs(ms))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, ms) in [("250ms", 250), ("10s", 10_000), ("1.5m", 90_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("42", 42)] {
            assert_eq!(text.parse(), Ok(DurationMs(ms)), "{text}");
        }
        for bad in ["", "s", "10", "10 s", "10x", "-1s", "1..2s", "99999999999999d"].into_iter().filter(|t| *t != "10") {
            assert!(bad.parse::<DurationMs>().is_err(), "{bad}");
        }
        assert_eq!(DurationMs(5_400_250).to_string(), "1h30m250ms");
        assert_eq!(DurationMs(0).to_string(), "0s");
    }

    #[test]
    fn times_print_as_rfc_3339() {
        assert_eq!(TimeMs(1_700_000_000_123).to_rfc3339(), "2023-11-14T22:13:20.123Z");
    }
}
