//! Pods and backlog over time, as SVG: one line for each policy.

use std::fmt::Write as _;

use super::figures::{Figures, Sample};
use super::report::Report;

const WIDTH: f64 = 880.0;
const PANEL: f64 = 170.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 46.0;
const GAP: f64 = 46.0;
/// Ours first. By Okabe and Ito, so that they differ for everybody.
const COLOURS: [&str; 5] = ["#0072b2", "#d55e00", "#e69f00", "#cc79a7", "#999999"];

/// The picture of a report.
#[must_use]
pub fn svg(report: &Report) -> String {
    let height = TOP + 2.0 * PANEL + 2.0 * GAP;
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
    panel(&mut text, report, TOP, "pods", |sample| f64::from(sample.pods));
    #[expect(clippy::cast_precision_loss, reason = "a backlog of a simulation is far below 2^53")]
    panel(&mut text, report, TOP + PANEL + GAP, "backlog", |sample| sample.backlog as f64);
    text + "</svg>\n"
}

/// One value over time, with its own scale.
fn panel(text: &mut String, report: &Report, top: f64, name: &str, value: impl Fn(&Sample) -> f64) {
    let samples = || report.figures.iter().flat_map(|figures| &figures.series);
    let most = samples().map(&value).fold(1.0, f64::max);
    let end = samples().map(|sample| minutes(sample.at.0)).fold(1.0, f64::max);
    let (x, y) = (|at: u64| LEFT + minutes(at) / end * WIDTH, |v: f64| top + PANEL - v / most * PANEL);
    let bottom = top + PANEL;
    let _ = writeln!(
        text,
        "<path d=\"M{LEFT} {top}V{bottom}H{}\" fill=\"none\" stroke=\"#444\"/>\n\
         <text x=\"{l}\" y=\"{}\" text-anchor=\"end\">{most}</text><text x=\"{l}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\n\
         <text x=\"{l}\" y=\"{}\" text-anchor=\"end\">{name}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{end:.0} min</text>",
        LEFT + WIDTH,
        top + 10.0,
        top + PANEL / 2.0,
        LEFT + WIDTH,
        bottom + 16.0,
        l = LEFT - 6.0,
    );
    // Ours is drawn last, on top.
    for (n, figures) in report.figures.iter().enumerate().rev() {
        let _ =
            writeln!(text, "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>", steps(figures, x, y, &value), colour(n));
    }
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
