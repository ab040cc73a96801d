//! `everloop apply -f FILE`: check here, then make current there. Nothing is sent when anything is wrong.

use std::path::PathBuf;

use clap::Args;

use crate::api::http::Applied;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::output;
use crate::cli::table::table;
use crate::definitions;

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A YAML file, a folder of them (with its subfolders), or `-` for stdin. May be given several times.
    #[arg(long = "file", short = 'f', required = true, value_name = "FILE|FOLDER|-")]
    pub files: Vec<PathBuf>,
}

pub async fn run(context: &Context, args: &ApplyArgs) -> Result<Exit, CliError> {
    let loaded = definitions::load(&args.files)?;
    for skipped in &loaded.skipped {
        output::say(skipped);
    }
    let documents = loaded.checked().map_err(CliError::Findings)?;
    let mut applied = Vec::new();
    for document in &documents {
        let client = match &document.namespace {
            Some(named) if context.namespace_given && named != context.client.namespace() => {
                return Err(CliError::input(
                    format!("{} is for namespace {named}, and the command line says {}", document.place, context.client.namespace()),
                    "leave out --namespace, or metadata.namespace",
                ));
            }
            Some(named) => context.client.in_namespace(named.clone()),
            None => context.client.clone(),
        };
        applied.push(client.apply(&document.workflow).await?);
    }
    output::print(&output::render(context.format, &applied, || rows(&applied)))?;
    Ok(Exit::Done)
}

/// What was applied, as a table.
pub fn rows(applied: &[Applied]) -> String {
    table(
        &["workflow", "version", "pool", "change"],
        applied.iter().map(|a| {
            let change = if a.unchanged { "unchanged" } else { "applied" };
            vec![a.name.to_string(), a.version.short().to_owned(), a.pool.to_string(), change.to_owned()]
        }),
    )
}
