//! From a text to what it defines.

use super::{Broken, Definitions, Document};
use crate::crd;

/// Reads all documents of a text, sources included, and adds what it finds. `place` is named in findings.
pub fn read(place: &str, text: &str, into: &mut Definitions) {
    let broken = |findings| Broken { place: place.to_owned(), text: text.to_owned(), findings };
    let parsed = match crd::parse(text, place) {
        Ok(parsed) => parsed,
        Err(problem) => return into.broken.push(broken(problem.findings)),
    };
    for other in parsed.skipped {
        into.skipped.push(format!("{place}: {other} is no Workflow and is left out"));
    }
    for workflow in parsed.workflows {
        let findings = crd::check_workflow(&workflow);
        if findings.is_empty() {
            into.documents.push(Document { place: place.to_owned(), namespace: workflow.namespace, workflow: workflow.workflow });
        } else {
            into.broken.push(broken(findings));
        }
    }
}
