//! A picture of the table: for each figure a row of each system, a point at the median and a line from the least to the largest, on
//! a logarithmic axis.

use crate::table::{Figure, Spread, Table};

const WIDTH: f64 = 560.0;
const LABELS: f64 = 130.0;
const VALUES: f64 = 90.0;
const ROW: f64 = 20.0;
const HEAD: f64 = 46.0;
const GAP: f64 = 18.0;
const COLUMNS: usize = 2;

/// Our own in blue, the others in the order of their first figure.
fn colour(system: &str) -> &'static str {
    match system {
        "everloop-redis" => "#1d4ed8",
        "everloop-embedded" => "#60a5fa",
        "restate" => "#b45309",
        "dbos" => "#15803d",
        "temporal" => "#7c3aed",
        "temporal-stock" => "#c4b5fd",
        "bullmq" => "#be123c",
        _ => "#525252",
    }
}

/// Into `target/bench/race.svg`.
pub fn write(table: &Table) {
    let mut columns = [GAP; COLUMNS];
    let mut body = String::new();
    for figure in table.figures() {
        // Always the shorter column.
        let column = usize::from(columns[1] < columns[0]);
        #[expect(clippy::cast_precision_loss, reason = "one of two columns")]
        let x = GAP + column as f64 * (WIDTH + GAP);
        let (panel, height) = panel(figure, x, columns[column]);
        body.push_str(&panel);
        columns[column] += height + GAP;
    }
    let (width, height) = (GAP + 2.0 * (WIDTH + GAP), columns[0].max(columns[1]));
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    );
    std::fs::create_dir_all("target/bench").expect("target/bench");
    std::fs::write("target/bench/race.svg", svg).expect("a file in target/bench");
}

/// One figure, and its height.
fn panel(figure: &Figure, x: f64, y: f64) -> (String, f64) {
    let spreads: Vec<(&str, Spread)> = figure.samples.iter().map(|(system, samples)| (*system, Spread::of(samples))).collect();
    // Powers of ten around everything; what is not above zero has no place on such an axis and stands at its left end.
    let above_zero = |n: &f64| n.is_finite() && *n > 0.0;
    let least = spreads.iter().map(|(_, s)| s.min).filter(above_zero).fold(f64::INFINITY, f64::min);
    let most = spreads.iter().map(|(_, s)| s.max).filter(above_zero).fold(0.0, f64::max);
    let (low, high) = if least <= most { (least.log10().floor(), (most.log10() + 1e-9).ceil()) } else { (0.0, 1.0) };
    let high = high.max(low + 1.0);
    let (left, span) = (x + LABELS, WIDTH - LABELS - VALUES);
    let at = |value: f64| left + span * ((value.max(10_f64.powf(low)).log10() - low) / (high - low)).clamp(0.0, 1.0);

    #[expect(clippy::cast_precision_loss, reason = "a few systems")]
    let bottom = y + HEAD + ROW * spreads.len() as f64;
    let mut svg = format!(
        "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\">{} {}</text><text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#525252\">{}</text>\n",
        y + 14.0,
        figure.scenario,
        figure.metric,
        x + WIDTH,
        y + 14.0,
        figure.unit
    );
    let mut decade = low;
    while decade <= high {
        let value = 10_f64.powf(decade);
        let at = at(value);
        svg.push_str(&format!(
            "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\" stroke=\"#e5e5e5\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#737373\">{}</text>\n",
            y + HEAD - 10.0,
            y + HEAD - 14.0,
            number(value)
        ));
        decade += 1.0;
    }
    let mut row = y + HEAD;
    for (system, spread) in &spreads {
        let (middle, colour) = (row + ROW / 2.0, colour(system));
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{system}</text>\
             <line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>\
             <circle cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"5\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            left - 8.0,
            middle + 4.0,
            at(spread.min),
            at(spread.max),
            at(spread.median),
            x + WIDTH,
            middle + 4.0,
            number(spread.median)
        ));
        row += ROW;
    }
    (svg, bottom - y)
}

/// With three digits that mean something, and thousands set apart.
fn number(value: f64) -> String {
    if value >= 1_000.0 {
        let text = format!("{value:.0}");
        let mut out = String::new();
        for (i, digit) in text.chars().enumerate() {
            if i > 0 && (text.len() - i) % 3 == 0 {
                out.push(',');
            }
            out.push(digit);
        }
        return out;
    }
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
