//! `everloop get RUN`.

use clap::Args;

use super::list::doing;
use super::result::error_text;
use crate::api::run::PendingActivity;
use crate::api::{Json, RunId, RunStatus, RunView, TimeMs};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::table::{cut, pairs, width};
use crate::cli::{output, when};

#[derive(Debug, Args)]
pub struct GetArgs {
    /// The run's id.
    pub run: RunId,
}

pub async fn run(context: &Context, args: &GetArgs) -> Result<Exit, CliError> {
    let view = context.client.run(&args.run).await?;
    output::print(&output::render(context.format, &view, || describe(&view, when::now(), width())))?;
    let next = match view.status {
        RunStatus::Blocked => format!("apply a fixed source, then `{}`", context.hint(&format!("resume {}", view.id))),
        RunStatus::Paused => format!("`{}` lets it go on", context.hint(&format!("resume {}", view.id))),
        _ => return Ok(Exit::Done),
    };
    output::say(&format!("next:  {next}"));
    Ok(Exit::Done)
}

/// A run for people: what is not there is not shown.
pub(in crate::cli) fn describe(run: &RunView, now: TimeMs, width: usize) -> String {
    let mut lines = vec![
        ("Run", run.id.to_string()),
        ("Namespace", run.namespace.to_string()),
        ("Workflow", format!("{}, version {}, pool {}", run.workflow, run.version.short(), run.pool)),
        ("Status", status(run)),
        ("Started", when::moment(run.started_at, now)),
    ];
    if let Some(closed) = run.closed_at {
        lines.push(("Ended", format!("{}, after {}", when::moment(closed, now), when::precise(closed.since(run.started_at)))));
    }
    lines.push(("Turns", run.turns.to_string()));
    if run.timers > 0 {
        lines.push(("Timers", run.timers.to_string()));
    }
    if run.unread > 0 {
        lines.push(("Unread events", run.unread.to_string()));
    }
    if !run.session.is_empty() {
        lines.push(("Worker", run.session.clone()));
    }
    if !run.activities.is_empty() {
        lines.push(("Activities", run.activities.iter().map(|a| activity(a, now) + "\n").collect()));
    }
    if let Some(blocked) = &run.blocked {
        lines.push(("Blocked", format!("{}\n{}", blocked.reason, blocked.message)));
    }
    let mut payload = |name: &'static str, json: &Option<Json>| {
        if let Some(json) = json {
            // The name and its blanks take this much; `-o json` has all of it.
            lines.push((name, cut(json.get(), width.saturating_sub(16))));
        }
    };
    payload("Input", &run.input);
    payload("Result", &run.result);
    if let Some(error) = &run.error {
        lines.push(("Error", error_text(error)));
    }
    pairs(lines)
}

fn status(run: &RunView) -> String {
    if run.status == RunStatus::Running { format!("{} ({})", run.status, doing(run.doing)) } else { run.status.to_string() }
}

fn activity(activity: &PendingActivity, now: TimeMs) -> String {
    let PendingActivity { command, phase, attempt, scheduled_at, session, last_error } = activity;
    let mut text = format!("#{command} {phase}, attempt {attempt}, for {}", when::age(now.since(*scheduled_at)));
    if !session.is_empty() {
        text += &format!(", on {session}");
    }
    if !last_error.is_empty() {
        text += &format!("; the attempt before: {last_error}");
    }
    text
}
