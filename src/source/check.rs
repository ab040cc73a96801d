//! Checks a definition: its module, and the module of each `script` activity.

use super::exports::check_default_export;
use super::imports::check_imports;
use super::module::{Module, with_module};
use super::names::{Role, activity_name_problem};
use super::position::{Raw, placed};
use super::references::{Names, check_references};
use super::strip::javascript;
use super::typescript::check_typescript;
use crate::api::error::Finding;
use crate::api::{Code, Definition};

/// The place of findings in the workflow's own source, when the caller has no better name for it.
pub const SOURCE_PLACE: &str = "spec.source.inline";

/// The place of findings in the module of a `script` activity.
#[must_use]
pub fn script_place(activity: &str) -> String {
    format!("spec.activities.{activity}.script")
}

/// Everything that is wrong in the sources of a definition, in the order of the text; empty when it may run.
///
/// Findings in the workflow's module have `module_name` as their place, those in scripts [`script_place`], those about the name of
/// an activity `spec.activities.<name>` and no line.
#[must_use]
pub fn check(definition: &Definition, module_name: &str) -> Vec<Finding> {
    let activities: Vec<&str> = definition.activities.keys().map(String::as_str).collect();
    let mut findings = check_module(&definition.source, module_name, Role::Workflow, &activities);
    for (name, activity) in &definition.activities {
        if let Some((message, help)) = activity_name_problem(name) {
            let place = format!("spec.activities.{name}");
            findings.push(Finding { code: Code::InvalidResource, message, help, place, line: 0, column: 0, length: 1 });
        }
        if let Some(script) = &activity.script {
            findings.extend(check_module(script, &script_place(name), Role::Script, &activities));
        }
    }
    findings
}

fn check_module(source: &str, place: &str, role: Role, activities: &[&str]) -> Vec<Finding> {
    let checked =
        with_module(source, |module| (module.program.source_type.is_javascript(), check_parsed(&module, source, role, activities)));
    let raw = match checked {
        Ok((is_javascript, found)) if is_javascript || !found.is_empty() => found,
        // What runs is the source without its types.
        Ok(_) => javascript(source).err().unwrap_or_default(),
        Err(errors) => errors,
    };
    placed(raw, source, place)
}

fn check_parsed(module: &Module<'_, '_>, source: &str, role: Role, activities: &[&str]) -> Vec<Raw> {
    let mut found = check_typescript(module.program);
    found.extend(check_imports(module.program, role));
    found.extend(check_default_export(module, source, role));
    found.extend(check_references(module, &Names { role, activities }));
    found
}
