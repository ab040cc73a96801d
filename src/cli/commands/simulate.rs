//! `everloop simulate pool`: traces of work against ways to scale a pool.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::args::Options;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::table::table;
use crate::simulate::trace::{BUILTIN, builtin};
use crate::simulate::{Report, Trace, plot, report};

#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(subcommand)]
    pub what: What,
}

/// What is simulated.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Play traces of work against ways to scale a pool (ours, KEDA with an HPA, a fixed fleet): waits, pod seconds, flaps, busy pods killed.
    Pool(PoolArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Traces that are part of the program: steady, burst-from-zero, diurnal, sawtooth, heavy-tail, timers, slow-nodes, failing-pods, no-room, trickle.\n\
    The format of a file is in docs/scaling.md."
)]
pub struct PoolArgs {
    /// A trace: the name of one that is part of the program, or a file; may be given several times [default: all that are part of the program].
    #[arg(long, value_name = "NAME|FILE")]
    pub trace: Vec<PathBuf>,
    /// The chance; the same number gives the same figures.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Write a plot of pods and backlog for each trace into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub svg: Option<PathBuf>,
}

pub fn run(options: &Options, args: &SimulateArgs) -> Result<Exit, CliError> {
    let What::Pool(args) = &args.what;
    let traces = match args.trace.as_slice() {
        [] => BUILTIN.iter().filter_map(|(name, _)| builtin(name)).collect(),
        traces => traces.iter().map(|trace| read(trace)).collect::<Result<Vec<_>, _>>()?,
    };
    let reports: Vec<_> = traces.iter().map(|trace| Report::of(trace, args.seed)).collect();
    if let Some(folder) = &args.svg {
        std::fs::create_dir_all(folder).map_err(|e| CliError::io(&format!("make {}", folder.display()), &e))?;
        for report in &reports {
            let file = folder.join(format!("{}.svg", report.trace));
            std::fs::write(&file, plot::svg(report)).map_err(|e| CliError::io(&format!("write {}", file.display()), &e))?;
        }
    }
    let rows = || table(&report::HEADING, reports.iter().flat_map(Report::rows));
    output::print(&output::render(options.output, &reports, rows))?;
    Ok(Exit::Done)
}

/// A name first: a file of the same name is found as `./NAME`.
fn read(trace: &Path) -> Result<Trace, CliError> {
    if let Some(trace) = trace.to_str().and_then(builtin) {
        return Ok(trace);
    }
    let place = trace.display();
    let text = std::fs::read_to_string(trace).map_err(|error| {
        let names: Vec<_> = BUILTIN.iter().map(|(name, _)| *name).collect();
        CliError::input(format!("failed to read the trace {place}: {error}"), format!("name a file, or one of {}", names.join(", ")))
    })?;
    let name = trace.file_stem().map_or_else(|| "trace".to_owned(), |name| name.to_string_lossy().into_owned());
    Trace::read(&name, &text).map_err(|error| CliError::input(format!("{place}: {error}"), "the format is in docs/scaling.md"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_told_with_its_line_and_a_missing_one_with_the_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("mine.trace");
        std::fs::write(&file, "length 1h\nflow rate=abc slot=1s\n").expect("written");
        let told = read(&file).expect_err("bad").render();
        assert!(told.contains("mine.trace: line 2: `abc`: invalid float literal"), "{told}");
        let told = read(Path::new("no-such-trace")).expect_err("missing").render();
        assert!(told.contains("or one of steady, burst-from-zero"), "{told}");
    }

    #[test]
    fn the_help_names_every_trace() {
        use clap::CommandFactory as _;
        let help = crate::cli::args::Cli::command()
            .find_subcommand("simulate")
            .and_then(|c| c.find_subcommand("pool"))
            .expect("there")
            .clone()
            .render_help();
        for (name, _) in BUILTIN {
            assert!(help.to_string().contains(name), "{name}");
        }
    }
}
