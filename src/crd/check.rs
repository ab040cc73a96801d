//! Checks the sources of a workflow and says where in its file they are wrong.

use super::workflow::{ParsedWorkflow, SourceText};
use crate::api::error::Finding;
use crate::source::{SOURCE_PLACE, check};

/// Everything that is wrong in the sources of a workflow, with lines and columns of its file when they are known.
#[must_use]
pub fn check_workflow(parsed: &ParsedWorkflow) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        check(&parsed.workflow.definition, SOURCE_PLACE).into_iter().map(|finding| in_file(finding, parsed)).collect();
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings
}

fn in_file(mut finding: Finding, parsed: &ParsedWorkflow) -> Finding {
    let Some(source) = parsed.sources.get(&finding.place) else { return finding };
    let SourceText { line, indent, exact, length } = *source;
    if exact && finding.line > 0 {
        finding.line += line - 1;
        finding.column += indent;
    } else {
        if finding.line > 0 {
            finding.message = format!("{} (line {}, column {} of the source)", finding.message, finding.line, finding.column);
        }
        (finding.line, finding.column, finding.length) = (line, indent + 1, length.max(1));
    }
    finding.place.clone_from(&parsed.file);
    finding
}
