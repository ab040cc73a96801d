//! Files that are made from the chart. `make update` writes them anew.

use std::process::Command;

use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

use crate::helm::repository;

fn is_wanted_anew() -> bool {
    std::env::var_os("EVERLOOP_UPDATE").is_some()
}

#[test]
fn the_generated_manifests_are_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = if is_wanted_anew() { repository("deploy") } else { folder.path().to_owned() };
    let status = Command::new(repository("scripts/update-install")).arg(&folder).status().expect("bash runs");
    assert!(status.success());
    for file in ["install.yaml", "release-runs.yaml"] {
        let made = std::fs::read_to_string(folder.join(file)).expect("a file");
        let found = std::fs::read_to_string(repository("deploy").join(file)).unwrap_or_default();
        assert!(made == found, "deploy/{file} is not what the chart says: run `make update`");
        let spoken = made.lines().find(|line| !line.starts_with('#') && line.to_lowercase().contains("helm"));
        assert_eq!(spoken, None, "deploy/{file} speaks of Helm");
    }
}

/// A row for each value: its path, what the schema says of it, its default.
fn rows(path: &str, values: &Yaml, schema: &Json, rows: &mut String) {
    let Some(properties) = schema["properties"].as_object().filter(|_| values.is_mapping() && !path.ends_with(".resources")) else {
        let meaning = schema["description"].as_str().unwrap_or_else(|| panic!("{path} is not described")).replace('|', "\\|");
        let default = serde_json::to_string(values).expect("JSON");
        let default =
            if matches!(default.as_str(), "\"\"" | "{}" | "[]") { String::new() } else { format!("`{}`", default.trim_matches('"')) };
        let choice: Vec<_> =
            schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str).map(|word| format!("`{word}`")).collect();
        let choice = if choice.is_empty() { String::new() } else { format!(" One of {}.", choice.join(", ")) };
        rows.push_str(&format!("| `{path}` | {meaning}{choice} | {default} |\n"));
        return;
    };
    for (name, value) in values.as_mapping().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let inner = properties.get(name).unwrap_or_else(|| panic!("{path} is not in the schema"));
        self::rows(&path, value, inner, rows);
    }
}

#[test]
fn the_generated_table_of_values_is_up_to_date() {
    let values = std::fs::read_to_string(repository("charts/everloop/values.yaml")).expect("values");
    let schema = std::fs::read_to_string(repository("charts/everloop/values.schema.json")).expect("a schema");
    let mut page = "# Values of the chart\n\n<!-- Generated from `charts/everloop` by `make update`; a test compares. -->\n\n".to_owned();
    page.push_str("| value | meaning | default |\n|---|---|---|\n");
    rows("", &serde_yaml_ng::from_str(&values).expect("YAML"), &serde_json::from_str(&schema).expect("JSON"), &mut page);
    let path = repository("docs/values.md");
    if is_wanted_anew() {
        std::fs::write(&path, &page).expect("the file is written");
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == page, "docs/values.md is not what the chart says: run `make update`");
}
