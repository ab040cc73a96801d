//! The definitions in `crds/` are those of the types; `make update` writes them anew.

use super::definitions;
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
