//! `everloop workflows`.

use clap::Args;

use crate::api::TimeMs;
use crate::api::http::{WorkflowView, Workflows};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::table;
use crate::cli::{output, when};

#[derive(Debug, Args)]
pub struct WorkflowsArgs {}

pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let workflows = context.client.workflows().await?;
    if workflows.workflows.is_empty() {
        let namespace = context.client.namespace();
        output::say(&format!("no workflows in namespace {namespace}; `{}` adds one", context.hint("apply -f FILE")));
    }
    output::print(&output::render(context.format, &workflows, || rows(&workflows, when::now())))?;
    Ok(Exit::Done)
}

pub(in crate::cli) fn rows(workflows: &Workflows, now: TimeMs) -> String {
    let row = |w: &WorkflowView| {
        vec![
            w.name.to_string(),
            w.version.short().to_owned(),
            w.pool.to_string(),
            w.retention.to_string(),
            standing(w),
            when::age(now.since(w.defined_at)),
        ]
    };
    table(&["name", "version", "pool", "retention", "state", "age"], workflows.workflows.iter().map(row))
}

/// Whether it takes new runs, and who else than people holds it.
fn standing(workflow: &WorkflowView) -> String {
    match &workflow.holder {
        _ if workflow.retired => "retired".to_owned(),
        None => "active".to_owned(),
        // Without the uid, which says nothing to people.
        Some(holder) => format!("active, held by {}", holder.as_str().split('/').next().unwrap_or_default()),
    }
}
