//! The definitions in `crds/` are those of the types; `make update` writes them anew.

use std::path::Path;

use super::definitions;

/// An object's size in etcd and in `helm` is bounded.
const BYTES_MAX: usize = 100 << 10;

#[test]
fn the_files_in_crds_are_generated_from_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for crd in definitions() {
        let yaml = serde_yaml_ng::to_string(&crd).unwrap();
        assert!(yaml.len() < BYTES_MAX, "{} has {} bytes", crd.spec.names.plural, yaml.len());
        let file = folder.join(format!("{}.yaml", crd.spec.names.plural));
        if std::env::var_os("EVERLOOP_UPDATE").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &yaml).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(written == yaml, "{} is out of date: run `make update`", file.display());
    }
}
