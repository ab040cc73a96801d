//! Pods and backlog over time, as SVG: one line for each policy.

use std::fmt::Write as _;

use super::figures::{Figures, Sample};
use super::report::Report;

const WIDTH: f64 = 880.0;
const PANEL: f64 = 170.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 72.0;
const GAP: f64 = 56.0;
/// Lines of a grid, at most.
const UP_MAX: f64 = 5.0;
const ALONG_MAX: f64 = 8.0;
/// Ours first. By Okabe and Ito, so that they differ for everybody.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#e69f00", "#cc79a7", "#999999"];

/// The picture of a report.
#[must_use]
pub fn svg(report: &Report) -> String {
    let height = TOP + 2.0 * PANEL + GAP + 30.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{w}\" height=\"{height}\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{}: {}</text>\n",
        escape(&report.trace),
        escape(&report.about),
        w = LEFT + WIDTH + 20.0,
    );
    for (n, figures) in report.figures.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a handful of policies")]
        let x = LEFT + 120.0 * n as f64;
        let _ = writeln!(
            text,
            "<rect x=\"{x}\" y=\"29\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"38\">{}</text>",
            colour(n),
            x + 14.0,
            escape(&figures.policy)
        );
    }
    panel(&mut text, report, TOP, "pods on nodes", |sample| f64::from(sample.pods));
    #[expect(clippy::cast_precision_loss, reason = "a backlog of a simulation is far below 2^53")]
    panel(&mut text, report, TOP + PANEL + GAP, "activities that wait", |sample| sample.backlog as f64);
    text + "</svg>\n"
}

/// One value over time, with its own scale.
fn panel(text: &mut String, report: &Report, top: f64, name: &str, value: impl Fn(&Sample) -> f64) {
    let samples = || report.figures.iter().flat_map(|figures| &figures.series);
    let most = samples().map(&value).fold(1.0, f64::max);
    let step = step_of(most / UP_MAX, &[1.0, 2.0, 5.0, 10.0]);
    // A little room above, so that the highest line is seen.
    let most = (most / step).ceil() * step * 1.04;
    let end = samples().map(|sample| minutes(sample.at.0)).fold(1.0, f64::max);
    let (x, y) = (|at: u64| LEFT + minutes(at) / end * WIDTH, |v: f64| top + PANEL - v / most * PANEL);
    let (bottom, right) = (top + PANEL, LEFT + WIDTH);
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{name}</text>", top - 8.0);
    let mut grid = String::new();
    for value in ticks(step, most) {
        let at = y(value);
        let _ = write!(grid, "M{LEFT} {at:.1}H{right}");
        let _ = writeln!(text, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", LEFT - 6.0, at + 4.0);
    }
    for minute in ticks(minutes_of(end / ALONG_MAX), end) {
        let at = LEFT + minute / end * WIDTH;
        let _ = write!(grid, "M{at:.1} {top}V{bottom}");
        let unit = if minute > 0.0 { "" } else { " min" };
        let _ = writeln!(text, "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{minute}{unit}</text>", bottom + 16.0);
    }
    let _ = writeln!(
        text,
        "<path d=\"{grid}\" fill=\"none\" stroke=\"#ddd\"/>\n<path d=\"M{LEFT} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#444\"/>"
    );
    // Ours is drawn last, on top.
    for (n, figures) in report.figures.iter().enumerate().rev() {
        let _ =
            writeln!(text, "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>", steps(figures, x, y, &value), colour(n));
    }
}

/// The smallest of these numbers, or ten, a hundred, ... times one of them, that is at least so much.
fn step_of(least: f64, of: &[f64]) -> f64 {
    let power = 10_f64.powf(least.max(1.0).log10().floor());
    of.iter().map(|step| step * power).find(|step| *step >= least).unwrap_or(power * 10.0)
}

/// Minutes between two lines: what people divide hours into.
fn minutes_of(least: f64) -> f64 {
    [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 180.0].into_iter().find(|step| *step >= least).unwrap_or(360.0)
}

/// From zero to the end.
fn ticks(step: f64, end: f64) -> impl Iterator<Item = f64> {
    (0..32_u8).map(move |n| f64::from(n) * step).take_while(move |value| *value <= end + 1e-9)
}

/// A line of steps, with a point only where the value changes.
fn steps(figures: &Figures, x: impl Fn(u64) -> f64, y: impl Fn(f64) -> f64, value: impl Fn(&Sample) -> f64) -> String {
    let mut path = String::new();
    let mut last = None;
    for sample in &figures.series {
        let height = y(value(sample));
        if last.is_none() {
            let _ = write!(path, "M{:.1} {height:.1}", x(sample.at.0));
        } else if last != Some(height) {
            let _ = write!(path, "H{:.1}V{height:.1}", x(sample.at.0));
        }
        last = Some(height);
    }
    if let Some(sample) = figures.series.last() {
        let _ = write!(path, "H{:.1}", x(sample.at.0));
    }
    path
}

fn colour(n: usize) -> &'static str {
    COLOURS[n % COLOURS.len()]
}

#[expect(clippy::cast_precision_loss, reason = "times of a simulation are far below 2^53")]
fn minutes(ms: u64) -> f64 {
    ms as f64 / 60_000.0
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_grid_stand_at_round_numbers() {
        let up = |most: f64| step_of(most / UP_MAX, &[1.0, 2.0, 5.0, 10.0]);
        assert_eq!([1.0, 5.0, 20.0, 934.0, 2_000.0].map(up).to_vec(), [1.0, 1.0, 5.0, 200.0, 500.0]);
        assert_eq!([3.0, 60.0, 120.0, 240.0].map(|end| minutes_of(end / ALONG_MAX)).to_vec(), [1.0, 10.0, 15.0, 30.0]);
        assert_eq!(ticks(30.0, 120.0).collect::<Vec<_>>(), [0.0, 30.0, 60.0, 90.0, 120.0]);
    }
}
