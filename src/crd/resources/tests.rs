//! The definitions in `crds/` are those of the types; `make update` writes them anew.

use std::collections::BTreeSet;

use super::{Reason, definitions};
use crate::api::RunStatus;
use crate::generated::is_up_to_date;

/// An object's size in etcd and in `helm` is bounded.
const BYTES_MAX: usize = 100 << 10;

#[test]
fn the_files_in_crds_are_generated_from_the_types() {
    for crd in definitions() {
        let yaml = serde_yaml_ng::to_string(&crd).unwrap();
        assert!(yaml.len() < BYTES_MAX, "{} has {} bytes", crd.spec.names.plural, yaml.len());
        is_up_to_date(&format!("crds/{}.yaml", crd.spec.names.plural), &yaml);
    }
}

/// Two rows of the table stand for words that are listed elsewhere; all others name them.
#[test]
fn every_reason_is_documented_and_no_other() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/kubernetes.md")).unwrap();
    let section = page.split("## Conditions and their reasons").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")).map(|row| row.split(" | ").next().unwrap());
    let documented: BTreeSet<&str> = rows.flat_map(|names| names.split(", ")).map(|name| name.trim_matches('`')).collect();
    let runs: Vec<Reason> = RunStatus::ALL.into_iter().map(Reason::from).collect();
    let known: BTreeSet<&str> = Reason::OWN.iter().chain(&runs).map(Reason::as_str).collect();
    assert_eq!(documented, known);
    for elsewhere in ["| a code of [errors.md](errors.md)", "| the reason of a blocked run"] {
        assert!(section.contains(elsewhere), "{elsewhere}");
    }
}
