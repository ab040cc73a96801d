//! From text to a trace, with errors that name the line.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{Comes, Slot, Trace, Work};
use crate::api::DurationMs;

/// A line that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TraceError {
    /// From 1; the last line for what is missing altogether.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// What a line may begin with.
const WORDS: [&str; 18] = [
    "about",
    "length",
    "slots",
    "min",
    "max",
    "target",
    "fall-window",
    "zero-window",
    "start",
    "grace",
    "slow",
    "fail",
    "room",
    "flow",
    "wave",
    "burst",
    "timers",
    "at",
];
/// A day of work is enough for a simulation, and bounds its memory.
const LENGTH_MAX: DurationMs = DurationMs::from_secs(24 * 3_600);
/// As many as a pool may have.
const PODS_MAX: u32 = 1_000;
/// Of a burst.
const COUNT_MAX: u32 = 1_000_000;

impl Trace {
    /// Reads a trace. `name` is what its file is called.
    pub fn read(name: &str, text: &str) -> Result<Self, TraceError> {
        let mut trace = Self {
            name: name.to_owned(),
            about: String::new(),
            length: DurationMs(0),
            slots: 10,
            min: 0,
            max: 20,
            target: None,
            fall_window: None,
            zero_window: None,
            start: (DurationMs::from_secs(3), DurationMs::from_secs(5)),
            grace: DurationMs::from_secs(60),
            slow: None,
            fail: None,
            room: None,
            work: Vec::new(),
        };
        let mut last = 0;
        for (line, text) in text.lines().enumerate() {
            last = line + 1;
            let text = text.split('#').next().unwrap_or_default().trim();
            if !text.is_empty() {
                trace.line(text).map_err(|what| TraceError { line: last, what })?;
            }
        }
        trace.whole().map_err(|what| TraceError { line: last.max(1), what })?;
        Ok(trace)
    }

    fn line(&mut self, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()));
        match word {
            "about" => rest.clone_into(&mut self.about),
            "length" => self.length = at_most(value(rest)?, LENGTH_MAX)?,
            "slots" => self.slots = at_least_one(value(rest)?)?,
            "min" => self.min = at_most(value(rest)?, PODS_MAX)?,
            "max" => self.max = at_most(value(rest)?, PODS_MAX)?,
            "target" => self.target = Some(value(rest)?),
            "fall-window" => self.fall_window = Some(value(rest)?),
            "zero-window" => self.zero_window = Some(value(rest)?),
            "room" => self.room = Some(value(rest)?),
            "start" => self.start = range(rest)?,
            "grace" => self.grace = value(rest)?,
            "slow" => {
                let (share, times) = two(rest, "a share and a factor, such as `slow 0.2 3`")?;
                self.slow = Some((share_of(share)?, positive(times)?));
            }
            "fail" => {
                let (share, later) = two(rest, "a share and a duration, such as `fail 0.2 90s`")?;
                self.fail = Some((share_of(share)?, value(later)?));
            }
            "flow" => self.work.push(flow(rest, self.length)?),
            "wave" => self.work.push(wave(rest)?),
            "burst" => self.work.push(burst(rest, false)?),
            "timers" => self.work.push(burst(rest, true)?),
            "at" => self.work.push(single(rest)?),
            _ => {
                return Err(format!("`{word}` is none of {}", WORDS.join(", ")));
            }
        }
        Ok(())
    }

    fn whole(&self) -> Result<(), String> {
        if self.length.0 == 0 {
            return Err("the trace says no `length`, such as `length 1h`".to_owned());
        }
        self.limits().map_err(|unfit| unfit.to_string())?;
        if self.work.is_empty() {
            return Err("nothing comes: say it with `flow`, `wave`, `burst`, `timers` or `at`".to_owned());
        }
        Ok(())
    }
}

fn flow(rest: &str, length: DurationMs) -> Result<Work, String> {
    let mut words = Words::of(rest)?;
    let from = words.optional("from")?.unwrap_or_default();
    let to = words.optional("to")?.unwrap_or(if length.0 == 0 { LENGTH_MAX } else { length });
    let period = words.optional("period")?.unwrap_or(DurationMs(to.0.saturating_sub(from.0)));
    let rate = rates(&words.take("rate")?)?;
    let work = Work { comes: Comes::Flow { from, to, rate, period }, slot: words.slot()? };
    if to <= from || period.0 == 0 {
        return Err(format!("it ends at {to}, and begins at {from}"));
    }
    words.end(work)
}

fn wave(rest: &str) -> Result<Work, String> {
    let mut words = Words::of(rest)?;
    let period: DurationMs = value(&words.take("period")?)?;
    let work = Work { comes: Comes::Wave { period, rate: rates(&words.take("rate")?)? }, slot: words.slot()? };
    if period.0 == 0 {
        return Err("a period of 0 is none".to_owned());
    }
    words.end(work)
}

fn burst(rest: &str, timers: bool) -> Result<Work, String> {
    let mut words = Words::of(rest)?;
    let at = value(&words.take("at")?)?;
    let every = words.optional("every")?;
    if every == Some(DurationMs(0)) {
        return Err("every 0 is never".to_owned());
    }
    let count = at_most(at_least_one(value(&words.take("count")?)?)?, COUNT_MAX)?;
    let work = Work { comes: Comes::Burst { at, every, count, timers }, slot: words.slot()? };
    words.end(work)
}

/// One item of a recording: `at 12.5s slot=300ms`.
fn single(rest: &str) -> Result<Work, String> {
    let (at, rest) = rest.split_once(char::is_whitespace).ok_or("write `at 12.5s slot=300ms`")?;
    let mut words = Words::of(rest)?;
    let comes = Comes::Burst { at: value(at)?, every: None, count: 1, timers: false };
    let work = Work { comes, slot: words.slot()? };
    words.end(work)
}

/// `name=value` pairs that are taken one by one.
struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let mut words = BTreeMap::new();
        for word in text.split_whitespace() {
            let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` is not `name=value`"))?;
            if words.insert(name, value).is_some() {
                return Err(format!("`{name}` is said twice"));
            }
        }
        Ok(Self(words))
    }

    fn take(&mut self, name: &str) -> Result<String, String> {
        self.0.remove(name).map(str::to_owned).ok_or_else(|| format!("`{name}=` is missing"))
    }

    fn optional(&mut self, name: &str) -> Result<Option<DurationMs>, String> {
        self.0.remove(name).map(value).transpose()
    }

    /// `slot=1s`, `slot=exp:1s`, `slot=pareto:200ms:1.5`.
    fn slot(&mut self) -> Result<Slot, String> {
        let text = self.take("slot")?;
        let mut parts = text.split(':');
        let slot = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("exp"), Some(mean), None, None) => Slot::Exponential(value(mean)?),
            (Some("pareto"), Some(least), Some(exponent), None) => Slot::Pareto(value(least)?, positive(exponent)?),
            (Some(fixed), None, ..) => Slot::Fixed(value(fixed)?),
            _ => return Err(format!("`slot={text}` is none of slot=1s, slot=exp:1s, slot=pareto:200ms:1.5")),
        };
        Ok(slot)
    }

    fn end(self, work: Work) -> Result<Work, String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("`{name}=` means nothing here")),
            None => Ok(work),
        }
    }
}

fn value<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e| format!("`{text}`: {e}"))
}

/// `3s..5s`, or `4s` for both.
fn range(text: &str) -> Result<(DurationMs, DurationMs), String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (value(low)?, value(high)?);
    if low <= high { Ok((low, high)) } else { Err(format!("{low} is more than {high}")) }
}

/// `5..50` per second, or `5` for both.
fn rates(text: &str) -> Result<(f64, f64), String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let rate = |text| {
        value(text).and_then(|rate: f64| {
            if (0.0..=10_000.0).contains(&rate) { Ok(rate) } else { Err(format!("{rate} is not a rate from 0 to 10000 per second")) }
        })
    };
    Ok((rate(low)?, rate(high)?))
}

fn two<'a>(text: &'a str, what: &str) -> Result<(&'a str, &'a str), String> {
    text.split_once(char::is_whitespace).map(|(one, two)| (one, two.trim())).ok_or_else(|| format!("write {what}"))
}

fn share_of(text: &str) -> Result<f64, String> {
    let share: f64 = value(text)?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(format!("{share} is not a share from 0 to 1")) }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = value(text)?;
    if number > 0.0 && number.is_finite() { Ok(number) } else { Err(format!("{number} is not above 0")) }
}

fn at_most<T: PartialOrd + std::fmt::Display>(value: T, max: T) -> Result<T, String> {
    if value <= max { Ok(value) } else { Err(format!("{value} is more than {max}")) }
}

fn at_least_one(value: u32) -> Result<u32, String> {
    if value >= 1 { Ok(value) } else { Err("0 is less than 1".to_owned()) }
}
