//! The layers of `docs/architecture.md`, held: who may name whom, and who may know which library.

use std::fs;
use std::path::{Path, PathBuf};

/// A folder of `src`, the folders of ours that it may import, the libraries that it may not know.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("api", &[], &["tokio", "axum", "redis", "redb", "rquickjs", "reqwest"]),
    ("machine", &["api"], &["tokio", "axum", "redis", "redb", "rquickjs", "reqwest", "rand"]),
    ("simulate", &["api", "machine"], &["tokio", "axum", "redis", "redb", "rquickjs", "reqwest", "rand", "kube"]),
    ("source", &["api"], &["tokio", "axum", "redis", "redb", "rquickjs", "reqwest"]),
    ("crd", &["api", "source"], &["tokio", "axum", "redis", "redb", "rquickjs", "reqwest"]),
    ("telemetry", &["api"], &["axum", "redis", "redb", "rquickjs"]),
    ("store", &["api", "machine", "telemetry"], &["axum", "rquickjs", "reqwest"]),
    ("client", &["api"], &["axum", "redis", "redb", "rquickjs", "kube"]),
    ("queue", &["api", "clock", "crd", "machine", "source", "store", "telemetry"], &["redis", "redb", "rquickjs"]),
    ("worker", &["api", "client", "clock", "machine", "source", "telemetry"], &["axum", "redis", "redb"]),
    ("operator", &["api", "client", "crd", "machine", "source", "telemetry"], &["axum", "redis", "redb", "rquickjs", "reqwest"]),
    ("discovery", &["api"], &["axum", "redis", "redb", "rquickjs", "reqwest"]),
    ("definitions", &["api", "crd", "source"], &["tokio", "axum", "redis", "redb", "rquickjs", "reqwest"]),
    ("dev", &["api", "client", "crd", "definitions", "queue", "source", "store", "telemetry", "worker"], &["redis", "redb", "rquickjs"]),
];

/// The Rust files under a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The same, without files of tests.
fn source_files(folder: &Path, into: &mut Vec<PathBuf>) {
    files(folder, into);
    into.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
}

/// The code of a file, without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable file");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn layers_import_downwards_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (layer, allowed, banned) in LAYERS {
        let mut files = Vec::new();
        source_files(&src.join(layer), &mut files);
        assert!(!files.is_empty(), "src/{layer} has no files: is the table out of date?");
        for file in files {
            if file.file_name().is_some_and(|n| n == "tests.rs") {
                continue;
            }
            let code = code(&file);
            let place = file.strip_prefix(&src).expect("below src").display().to_string();
            for other in fs::read_dir(&src).expect("src").filter_map(|e| e.ok()?.file_name().into_string().ok()) {
                let other = other.trim_end_matches(".rs");
                let named = code.contains(&format!("crate::{other}::")) || code.contains(&format!("crate::{other};"));
                assert!(!code.contains("use crate::{"), "{place}: one import for each layer, so that this test sees it");
                if named && other != *layer && !allowed.contains(&other) {
                    wrong.push(format!("{place} imports crate::{other}: {layer} may import {allowed:?}"));
                }
            }
            for library in *banned {
                let names = [format!("use {library}::"), format!(" {library}::"), format!("({library}::"), format!("<{library}::")];
                if names.iter().any(|n| code.contains(n.as_str())) {
                    wrong.push(format!("{place} uses {library}: {layer} may not know it"));
                }
            }
        }
    }
    // Only one folder knows each of these.
    for (library, owners) in [
        ("rquickjs", &["worker"][..]),
        ("redb", &["store"]),
        ("redis", &["store"]),
        ("axum", &["queue", "cli"]),
        ("kube", &["operator", "crd", "discovery"]),
    ] {
        let mut files = Vec::new();
        source_files(&src, &mut files);
        for file in files {
            let place = file.strip_prefix(&src).expect("below src").display().to_string();
            if code(&file).contains(&format!("use {library}::")) && !owners.iter().any(|o| place.starts_with(o)) {
                wrong.push(format!("{place} uses {library}: only {owners:?} may"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_error_code_is_documented() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md")).expect("docs/errors.md");
    for code in everloop::api::Code::ALL {
        let row = format!("| `{code}` | {} |", code.status());
        assert!(page.contains(&row), "docs/errors.md has no row that begins with {row}");
    }
}

/// A test that is gone, or was renamed, takes its promise out of the page.
#[test]
fn every_test_that_the_pages_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests"] {
        let mut sources = Vec::new();
        files(&root.join(folder), &mut sources);
        sources.iter().for_each(|path| code += &fs::read_to_string(path).expect("a source file"));
    }
    for (name, at_least) in [("docs/guarantees.md", 60), ("docs/kubernetes.md", 30)] {
        let page = fs::read_to_string(root.join(name)).expect("a page");
        let rows = page.lines().filter(|line| line.starts_with("| "));
        let quoted = rows.flat_map(|row| row.split('`').skip(1).step_by(2));
        let tests: Vec<&str> = quoted.filter(|text| text.matches('_').count() >= 2).collect();
        assert!(tests.len() > at_least, "{name} names its tests");
        let missing: Vec<_> = tests.iter().filter(|test| !code.contains(&format!("fn {test}("))).collect();
        assert!(missing.is_empty(), "{name} names tests that do not exist: {missing:#?}");
    }
}

/// What the engine forbids when it runs is found by `check` and `apply` too, by the same names.
#[test]
fn forbidden_globals_are_found_before_they_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let engine = fs::read_to_string(root.join("src/worker/engine/js/forbidden.js")).expect("the engine's list");
    let check = fs::read_to_string(root.join("src/source/names.rs")).expect("the checker's list");
    let lists =
        engine.split("FORBIDDEN_").skip(1).filter_map(|rest| rest.strip_prefix("FUNCTIONS = {").or(rest.strip_prefix("OBJECTS = {")));
    let names: Vec<&str> = lists
        .flat_map(|list| list.split("};").next().unwrap_or_default().lines())
        .filter_map(|l| l.trim().split_once(": "))
        .map(|(name, _)| name)
        .collect();
    assert!(names.len() >= 30, "the engine's list is read: {names:?}");
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !check.contains(&format!("(\"{name}\"")) && !check.contains(&format!("        \"{name}\",\n")))
        .collect();
    assert!(missing.is_empty(), "`everloop check` does not know {missing:?}");
}

/// Types of errors that our own code gives to runs and activities are documented.
#[test]
fn every_error_type_of_runs_and_activities_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/errors.md")).expect("docs/errors.md");
    let mut all = Vec::new();
    for folder in ["src/worker", "src/queue"] {
        source_files(&root.join(folder), &mut all);
    }
    let mut types = std::collections::BTreeSet::new();
    for file in all.iter().filter(|file| file.file_name().is_none_or(|name| name != "tests.rs")) {
        let code = code(file);
        for call in ["failed_for_good(\"", "failed(\"", "RunError::new(\"", "reason: \""] {
            types.extend(code.split(call).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
        }
    }
    assert!(types.len() > 15, "the types are found: {types:?}");
    // What a script itself threw, when nothing is known of it; and texts of a closure with that name.
    types.retain(|name| name != "Error" && !name.contains(' '));
    let missing: Vec<_> = types.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
}
