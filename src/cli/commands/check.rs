//! `everloop check FILE`: everything that can be found by reading. Touches no server.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::api::{Name, Version};
use crate::cli::args::Options;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::table::table;
use crate::definitions;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// YAML files, folders of them, or `-` for stdin.
    #[arg(required = true, value_name = "FILE|FOLDER|-")]
    pub files: Vec<PathBuf>,
}

/// A definition in which nothing is wrong.
#[derive(Debug, Serialize)]
struct Checked {
    workflow: Name,
    version: Version,
    file: String,
}

pub fn run(options: &Options, args: &CheckArgs) -> Result<Exit, CliError> {
    let loaded = definitions::load(&args.files)?;
    for skipped in &loaded.skipped {
        output::say(skipped);
    }
    let documents = loaded.checked().map_err(CliError::Findings)?;
    let checked: Vec<_> = documents
        .iter()
        .map(|d| Checked { workflow: d.workflow.name.clone(), version: d.workflow.definition.version(), file: d.place.clone() })
        .collect();
    let rows = || {
        let row = |c: &Checked| vec![c.workflow.to_string(), c.version.short().to_owned(), c.file.clone(), "ok".to_owned()];
        table(&["workflow", "version", "file", "check"], checked.iter().map(row))
    };
    output::print(&output::render(options.output, &checked, rows))?;
    Ok(Exit::Done)
}
