//! The checks of a definition before it becomes a version.

use crate::api::definition::Workflow;
use crate::api::error::Finding;
use crate::api::{Code, Name, Problem, limits};

/// Checks everything that can be checked by reading.
///
/// # Errors
/// A problem with all findings; its code is that of the first.
pub fn check(path: &Name, workflow: &Workflow) -> Result<(), Problem> {
    if workflow.name != *path {
        let detail = format!("the body is about workflow {:?}, the path about {:?}", workflow.name.as_str(), path.as_str());
        return Err(Problem::new(Code::InvalidRequest, detail).next("use the same name in both"));
    }
    let source_bytes = workflow.definition.source.len();
    if source_bytes > limits::SOURCE_BYTES_MAX {
        let detail = format!("a source of {source_bytes} bytes is more than the {} that are allowed", limits::SOURCE_BYTES_MAX);
        return Err(Problem::new(Code::PayloadTooLarge, detail).next("move data and large parts into activities"));
    }
    let findings = findings(workflow);
    let Some(first) = findings.first() else { return Ok(()) };
    let detail = match findings.len() {
        1 => first.message.clone(),
        n => format!("{} (and {} more)", first.message, n - 1),
    };
    let next = "correct the places below; `everloop check FILE` finds them without a server";
    Err(Problem::new(first.code, detail).next(next).with_findings(findings))
}

fn findings(workflow: &Workflow) -> Vec<Finding> {
    let mut findings = Vec::new();
    let activities = &workflow.definition.activities;
    if activities.len() > limits::ACTIVITIES_MAX {
        let message = format!("{} activities are more than the {} that are allowed", activities.len(), limits::ACTIVITIES_MAX);
        findings.push(finding(message, "spec.activities".into()));
    }
    for (name, activity) in activities {
        if let Err(why) = activity.kind() {
            findings.push(finding(format!("activity {name:?} cannot be run: {why}"), format!("spec.activities.{name}")));
        }
    }
    findings
}

fn finding(message: String, place: String) -> Finding {
    Finding { code: Code::InvalidResource, message, help: String::new(), place, line: 0, column: 0, length: 1 }
}
