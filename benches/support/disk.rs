//! What the disk can do.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use crate::report::{Report, percentile, sorted};

/// Puts the time of an fdatasync of this file after a short write beside the figures.
pub fn measure(mut file: File, report: &mut Report) {
    let mut samples = Vec::new();
    for _ in 0..500 {
        file.write_all(&[7; 200]).expect("room on the disk");
        let begin = Instant::now();
        file.sync_data().expect("fdatasync");
        samples.push(begin.elapsed().as_secs_f64() * 1_000.0);
    }
    let samples = sorted(samples);
    report.settings.insert("disk fdatasync", format!("p50 {:.3} ms, p99 {:.3} ms", percentile(&samples, 0.5), percentile(&samples, 0.99)));
}
