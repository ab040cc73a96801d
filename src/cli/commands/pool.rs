//! `everloop pool NAME`: what one pool has to do, once or over time.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::api::http::{PoolLoad, Workers};
use crate::api::signals::{Load, Signals};
use crate::api::{DurationMs, Name};
use crate::cli::args::Format;
use crate::cli::chart::chart;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::{cut, pairs, width};
use crate::cli::when::seconds;
use crate::cli::{output, when};

/// Looks that are remembered: more than a terminal has columns.
const LOOKS_MAX: usize = 400;
/// Lines of a chart.
const CHART_LINES: usize = 3;
/// Columns left of a chart: its name, the value now, and a border.
const LEFT: usize = 24;
/// Times at which timers are due.
const TIMERS_SHOWN: usize = 4;

#[derive(Debug, Args)]
pub struct PoolArgs {
    /// The pool's name.
    pub pool: Name,
    /// Look again and again, and draw it over time; without a terminal a line for each look. Ctrl-C ends it.
    #[arg(long, short)]
    pub watch: bool,
    /// Between two looks.
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = every, requires = "watch")]
    pub every: DurationMs,
}

fn every(text: &str) -> Result<DurationMs, String> {
    match text.parse::<DurationMs>() {
        Ok(duration) if (100..=3_600_000).contains(&duration.0) => Ok(duration),
        Ok(_) => Err("at least 100ms, at most 1h".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A look: the pool as the service tells it, and who works for it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::cli) struct Look {
    /// When, by this machine's clock.
    at: String,
    #[serde(flatten)]
    pub(in crate::cli) load: PoolLoad,
    /// Sessions of workers of the pool that have not ended.
    pub(in crate::cli) workers: usize,
}

pub async fn run(context: &Context, args: &PoolArgs) -> Result<Exit, CliError> {
    if !args.watch {
        let look = look(context, &args.pool).await?;
        if look.load.signals == Signals::default() {
            output::say(&format!(
                "nothing is known of the pool {}: no work ever came to it; `{}` lists those that have had some",
                args.pool,
                context.hint("pools")
            ));
        }
        output::print(&output::render(context.format, &look, || describe(&look)))?;
        return Ok(Exit::Done);
    }
    tokio::select! {
        ended = watch(context, args) => ended,
        // Ctrl-C is how one ends it.
        _ = tokio::signal::ctrl_c() => Ok(Exit::Done),
    }
}

async fn look(context: &Context, pool: &Name) -> Result<Look, CliError> {
    let (load, workers) = tokio::try_join!(context.client.pool(pool), context.client.workers())?;
    Ok(Look { at: when::now().to_rfc3339(), load, workers: of_pool(&workers, pool) })
}

fn of_pool(workers: &Workers, pool: &Name) -> usize {
    workers.workers.iter().filter(|worker| worker.pool.as_ref() == Some(pool)).count()
}

async fn watch(context: &Context, args: &PoolArgs) -> Result<Exit, CliError> {
    let drawn = context.format == Format::Table && std::io::stdout().is_terminal();
    let (began, mut history, mut lines) = (Instant::now(), VecDeque::new(), 0);
    if context.format == Format::Table && !drawn {
        output::print(&heading())?;
    }
    let mut ticks = tokio::time::interval(args.every.to_std());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let look = look(context, &args.pool).await?;
        let text = match context.format {
            Format::Json => crate::api::Json::of(&look).get().to_owned() + "\n",
            Format::Yaml => format!("---\n{}", output::yaml(&look)),
            Format::Table if !drawn => line(&look),
            Format::Table => {
                history.truncate(LOOKS_MAX - 1);
                history.push_front(look);
                let picture = draw(&history, args.every, began.elapsed(), width());
                // Over the picture before, whatever is left of it.
                let over = if lines == 0 { String::new() } else { format!("\u{1b}[{lines}A\u{1b}[J") };
                lines = picture.lines().count();
                over + &picture
            }
        };
        if !output::is_read(&text)? {
            return Ok(Exit::Done);
        }
    }
}

fn rate(load: &Load) -> String {
    load.arrivals_per_s.map_or_else(|| "-".to_owned(), |rate| if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") })
}

fn time(duration: Option<DurationMs>) -> String {
    duration.map_or_else(|| "-".to_owned(), when::precise)
}

/// The next ones; those that are told alike stand together.
fn timers(signals: &Signals) -> String {
    let mut told: Vec<(String, u64)> = Vec::new();
    for due in &signals.timers {
        let when = format!("in {}", when::age(due.within));
        if let Some((last, count)) = told.last_mut()
            && *last == when
        {
            *count += due.count;
            continue;
        }
        if told.len() == TIMERS_SHOWN {
            break;
        }
        told.push((when, due.count));
    }
    let one = |(when, count): &(String, u64)| if *count > 1 { format!("{when} ({count})") } else { when.clone() };
    if told.is_empty() { "-".to_owned() } else { told.iter().map(one).collect::<Vec<_>>().join(", ") }
}

/// A look in full.
pub(in crate::cli) fn describe(look: &Look) -> String {
    let signals = &look.load.signals;
    let kind = |load: &Load| {
        let oldest = if load.backlog > 0 { format!(", the first for {}", seconds(load.oldest)) } else { String::new() };
        format!(
            "{} wait{oldest}; {} run; {} come in a second, and take {} (95 of 100 at most {})",
            load.backlog,
            load.busy,
            rate(load),
            time(load.slot_mean),
            time(load.slot_p95)
        )
    };
    pairs([
        ("Pool", look.load.pool.to_string()),
        ("Workers", look.workers.to_string()),
        ("Turns", kind(&signals.turns)),
        ("Activities", kind(&signals.activities)),
        ("Next timers", timers(signals)),
    ])
}

/// What a watched pool has in a look.
struct Now {
    backlog: u64,
    busy: u64,
    oldest: DurationMs,
}

impl Now {
    fn of(look: &Look) -> Self {
        let Signals { turns, activities, .. } = &look.load.signals;
        Self {
            backlog: turns.backlog.saturating_add(activities.backlog),
            busy: turns.busy.saturating_add(activities.busy),
            oldest: turns.oldest.max(activities.oldest),
        }
    }
}

const COLUMNS: [(&str, usize); 8] =
    [("TIME", 20), ("BACKLOG", 9), ("BUSY", 8), ("WORKERS", 9), ("OLDEST", 8), ("TURNS/S", 9), ("ACTIVITIES/S", 14), ("NEXT TIMER", 0)];

fn columns(values: [&str; COLUMNS.len()]) -> String {
    let text: String = COLUMNS.iter().zip(values).map(|((_, width), value)| format!("{value:width$}  ")).collect();
    text.trim_end().to_owned() + "\n"
}

fn heading() -> String {
    columns(COLUMNS.map(|(name, _)| name))
}

/// A look on one line.
fn line(look: &Look) -> String {
    let (now, signals) = (Now::of(look), &look.load.signals);
    let at = look.at.split('.').next().unwrap_or_default();
    let next = signals.timers.first().map_or_else(|| "-".to_owned(), |due| format!("in {}", when::age(due.within)));
    let (turns, activities) = (rate(&signals.turns), rate(&signals.activities));
    columns([
        &format!("{at}Z"),
        &now.backlog.to_string(),
        &now.busy.to_string(),
        &look.workers.to_string(),
        &seconds(now.oldest),
        &turns,
        &activities,
        &next,
    ])
}

/// The looks as a picture, the latest first in `history`: at most `width` characters wide.
fn draw(history: &VecDeque<Look>, every: DurationMs, watched: Duration, width: usize) -> String {
    let Some(latest) = history.front() else { return String::new() };
    let (signals, now) = (&latest.load.signals, Now::of(latest));
    let mut lines =
        vec![format!("pool {}, looked at every {every} for {}", latest.load.pool, when::age(DurationMs::from_secs(watched.as_secs())))];
    let of = |value: &dyn Fn(&Look) -> f64| history.iter().rev().map(value).collect::<Vec<f64>>();
    #[expect(clippy::cast_precision_loss, reason = "a picture")]
    let rows: [(&str, String, Vec<f64>, &dyn Fn(f64) -> String); 4] = [
        ("backlog", now.backlog.to_string(), of(&|look| Now::of(look).backlog as f64), &|most| format!("{most:.0}")),
        ("busy", now.busy.to_string(), of(&|look| Now::of(look).busy as f64), &|most| format!("{most:.0}")),
        ("oldest", seconds(now.oldest), of(&|look| Now::of(look).oldest.0 as f64), &|most| seconds(whole_ms(most))),
        ("workers", latest.workers.to_string(), of(&|look| look.workers as f64), &|most| format!("{most:.0}")),
    ];
    let room = width.saturating_sub(LEFT).max(10);
    for (name, value, values, scale) in rows {
        let shown = &values[values.len().saturating_sub(room)..];
        let most = shown.iter().copied().fold(0.0, f64::max);
        for (n, row) in chart(&values, most, room, CHART_LINES).into_iter().enumerate() {
            let left = match n {
                0 => format!("{name:<11}{value:>10}"),
                n if n == CHART_LINES - 1 && most > 0.0 => format!("{:<11}{:>10}", "", format!("most {}", scale(most))),
                _ => format!("{:21}", ""),
            };
            lines.push(format!("{left} │{}", row.trim_end()));
        }
    }
    lines.push(format!("{:21} └{}", "", axis(every, room)));
    for (name, load) in [("turns", &signals.turns), ("activities", &signals.activities)] {
        lines.push(format!(
            "{name:<11}{} wait, {} run; {} come in a second; mean {}, p95 {}",
            load.backlog,
            load.busy,
            rate(load),
            time(load.slot_mean),
            time(load.slot_p95)
        ));
    }
    lines.push(format!("timers     {}", timers(signals)));
    lines.iter().map(|line| cut(line, width) + "\n").collect()
}

/// From the oldest look that has room to the latest.
fn axis(every: DurationMs, room: usize) -> String {
    let oldest = format!(" {} ago ", when::age(DurationMs(every.0.saturating_mul(room.saturating_sub(1) as u64))));
    let line = room.saturating_sub(oldest.chars().count() + " now".len() + 1);
    format!("─{oldest}{} now", "─".repeat(line))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a duration")]
fn whole_ms(value: f64) -> DurationMs {
    DurationMs(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::signals::Due;

    fn look_at(backlog: u64, busy: u64, workers: usize) -> Look {
        let activities = Load {
            backlog,
            oldest: DurationMs(backlog * 100),
            busy,
            arrivals_per_s: Some(12.34),
            slot_mean: Some(DurationMs(400)),
            slot_p95: Some(DurationMs(1_216)),
        };
        let timers = vec![Due { within: DurationMs::from_secs(190), count: 100 }, Due { within: DurationMs::from_secs(3_600), count: 1 }];
        let signals = Signals { activities, timers, ..Signals::default() };
        Look { at: "2026-11-23T10:00:00.123Z".into(), load: PoolLoad { pool: "shop".parse().unwrap(), signals }, workers }
    }

    #[test]
    fn one_look_tells_all() {
        let expected = "\
Pool          shop
Workers       3
Turns         0 wait; 0 run; - come in a second, and take - (95 of 100 at most -)
Activities    240 wait, the first for 24s; 20 run; 12 come in a second, and take 400ms (95 of 100 at most 1.216s)
Next timers   in 3m10s (100), in 60m
";
        assert_eq!(describe(&look_at(240, 20, 3)), expected);
    }

    #[test]
    fn a_picture_has_the_past_on_the_left_and_fits_the_terminal() {
        let history: VecDeque<Look> = [8, 4, 2, 0].into_iter().map(|n| look_at(n, n / 2, 1)).collect();
        let expected = "\
pool shop, looked at every 1s for 3s
backlog             8 │                                   █
                      │                                  ▄█
               most 8 │                                 ▆██
busy                4 │                                   █
                      │                                  ▄█
               most 4 │                                 ▆██
oldest             0s │                                   █
                      │                                  ▄█
              most 0s │                                 ▆██
workers             1 │                                ████
                      │                                ████
               most 1 │                                ████
                      └─ 35s ago ────────────────────── now
turns      0 wait, 0 run; - come in a second; mean -, p95 -
activities 8 wait, 4 run; 12 come in a second; mean 400ms, …
timers     in 3m10s (100), in 60m
";
        assert_eq!(draw(&history, DurationMs::from_secs(1), Duration::from_secs(3), 60), expected);
        let long: VecDeque<Look> = (0..LOOKS_MAX as u64).map(|n| look_at(n * 1_000_000_000, n, 3)).collect();
        for width in [60, 100, 400] {
            let picture = draw(&long, DurationMs::from_secs(1), Duration::from_secs(3), width);
            assert!(picture.lines().all(|line| line.chars().count() <= width), "{picture}");
        }
    }

    #[test]
    fn a_look_is_a_line_under_its_heading() {
        let text = heading() + &line(&look_at(240, 20, 3));
        let expected = "\
TIME                  BACKLOG    BUSY      WORKERS    OLDEST    TURNS/S    ACTIVITIES/S    NEXT TIMER
2026-11-23T10:00:00Z  240        20        3          24s       -          12              in 3m10s
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_program_gets_the_shape_that_travels_with_the_time_and_the_workers() {
        let json: serde_json::Value = serde_json::from_str(crate::api::Json::of(&look_at(2, 1, 3)).get()).unwrap();
        assert_eq!((&json["pool"], &json["workers"], &json["activities"]["backlog"]), (&"shop".into(), &3.into(), &2.into()), "{json}");
        assert!(json["at"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn the_pause_between_two_looks_has_bounds() {
        assert_eq!(every("250ms"), Ok(DurationMs(250)));
        assert!(every("0s").is_err() && every("2h").is_err() && every("soon").is_err());
    }
}
