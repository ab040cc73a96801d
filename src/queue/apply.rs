//! The checks of a definition before it becomes a version: by reading it, never by running it.

use super::border::problem::Refused;
use crate::api::definition::Workflow;
use crate::api::error::Finding;
use crate::api::{Code, Name, Problem, limits};
use crate::crd;
use crate::source;

/// Checks everything that can be checked by reading. Takes milliseconds for a source of a megabyte: not for an async thread.
///
/// # Errors
/// A problem with all findings; its code is that of the first.
pub fn check(path: &Name, workflow: &Workflow) -> Result<(), Refused> {
    if workflow.name != *path {
        let detail = format!("the body is about workflow {:?}, the path about {:?}", workflow.name.as_str(), path.as_str());
        return Err(Problem::new(Code::InvalidRequest, detail).next("use the same name in both").into());
    }
    let source_bytes = workflow.definition.source.len();
    if source_bytes > limits::SOURCE_BYTES_MAX {
        let detail = format!("a source of {source_bytes} bytes is more than the {} that are allowed", limits::SOURCE_BYTES_MAX);
        return Err(Problem::new(Code::PayloadTooLarge, detail).next("move data and large parts into activities").into());
    }
    let mut findings: Vec<Finding> = crd::validate(&workflow.definition).into_iter().map(finding).collect();
    findings.extend(source::check(&workflow.definition, source::SOURCE_PLACE));
    let Some(first) = findings.first() else { return Ok(()) };
    let detail = match findings.len() {
        1 => first.message.clone(),
        n => format!("{} (and {} more)", first.message, n - 1),
    };
    let next = "correct the places that `findings` names; `everloop check FILE` finds them without a server";
    Err(Problem::new(first.code, detail).next(next).with_findings(findings).into())
}

fn finding(broken: crd::Violation) -> Finding {
    Finding {
        code: Code::InvalidResource,
        message: format!("`{}` {}", broken.path, broken.message),
        help: broken.help,
        place: broken.path,
        line: 0,
        column: 0,
        length: 1,
    }
}
