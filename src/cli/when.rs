//! Times and spans for people.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::api::{DurationMs, TimeMs};

/// This machine's clock: only for "how long ago", never compared for a decision.
pub fn now() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// An age as kubectl writes it: two units at most, `12s`, `3m10s`, `5h`, `12d`.
pub fn age(span: DurationMs) -> String {
    let secs = span.0 / 1000;
    let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
    let two = |big: u64, unit: &str, small: u64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match secs {
        0..120 => format!("{secs}s"),
        120..600 => two(minutes, "m", secs % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => two(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => two(days, "d", hours % 24, "h"),
        _ => format!("{days}d"),
    }
}

/// A span in whole seconds, as a duration is written: `0s`, `1m30s`.
pub fn seconds(span: DurationMs) -> String {
    DurationMs(span.0 / 1_000 * 1_000).to_string()
}

/// A span to the millisecond where that matters: `183ms`, `12.345s`, `1m02.5s`, `2h03m`.
pub fn precise(span: DurationMs) -> String {
    let ms = span.0;
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}.{:03}s", ms / 1000, ms % 1000),
        60_000..3_600_000 => format!("{}m{:02}.{}s", ms / 60_000, ms / 1000 % 60, ms / 100 % 10),
        3_600_000..86_400_000 => format!("{}h{:02}m", ms / 3_600_000, ms / 60_000 % 60),
        _ => format!("{}d{:02}h", ms / 86_400_000, ms / 3_600_000 % 24),
    }
}

/// `2026-11-23T10:00:00.000Z (3m ago)`.
pub fn moment(at: TimeMs, now: TimeMs) -> String {
    format!("{} ({} ago)", at.to_rfc3339(), age(now.since(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_shorten_as_they_grow() {
        for (secs, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (190, "3m10s"),
            (700, "11m"),
            (11_100, "3h5m"),
            (30_000, "8h"),
            (180_000, "2d2h"),
            (900_000, "10d"),
        ] {
            assert_eq!(age(DurationMs::from_secs(secs)), text);
        }
    }

    #[test]
    fn spans_keep_what_can_be_told_apart() {
        for (ms, text) in [(7, "7ms"), (12_345, "12.345s"), (62_540, "1m02.5s"), (7_380_000, "2h03m"), (90_000_000, "1d01h")] {
            assert_eq!(precise(DurationMs(ms)), text);
        }
    }
}
