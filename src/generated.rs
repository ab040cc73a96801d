//! Files that are made from the code, for the tests that compare them. `make update` writes them anew.

use std::path::Path;

/// Asserts that a file of the repository is what was made; writes it first when `EVERLOOP_UPDATE` is set.
#[track_caller]
pub fn is_up_to_date(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("EVERLOOP_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, made).expect("the file is written");
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == made, "{file} is not what the code says: run `make update`");
}
