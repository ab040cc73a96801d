use std::path::PathBuf;

use super::*;

const GOOD: &str = "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {name: NAME}\nspec:\n  source:\n    inline: |\n      export default async () => 1;\n";

fn good(name: &str) -> String {
    GOOD.replace("NAME", name)
}

#[test]
fn a_folder_is_read_with_its_subfolders_and_without_hidden_and_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("b.yaml", &good("b"));
    write("a.yml", &(good("a") + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"));
    write("deep/c.yaml", &good("c"));
    write(".hidden/d.yaml", &good("d"));
    write("notes.txt", "not yaml: [");
    let loaded = load(&[folder.path().to_owned()]).unwrap();
    let names: Vec<_> = loaded.documents.iter().map(|d| d.workflow.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(loaded.skipped.len(), 1);
    assert!(loaded.skipped[0].contains("ConfigMap"), "{:?}", loaded.skipped);
}

#[test]
fn one_broken_file_keeps_nothing_of_the_others_back_and_its_lines_are_lines_of_the_file() {
    let mut definitions = Definitions::default();
    read("good.yaml", &good("fine"), &mut definitions);
    read("bad.yaml", &good("bad").replace("() => 1", "() => missing(1)"), &mut definitions);
    assert_eq!(definitions.documents.len(), 1);
    let text = definitions.checked().unwrap_err();
    assert!(text.starts_with("bad.yaml:7:34: "), "{text}");
    assert!(text.contains("missing"), "{text}");
    assert!(text.contains("^^^^^^^"), "{text}");
    assert!(text.ends_with("error: 1 finding; nothing was sent: correct it and type the same again\n"), "{text}");
}

#[test]
fn what_is_not_there_is_named() {
    let error = load(&[PathBuf::from("/nowhere/x.yaml")]).unwrap_err().to_string();
    assert!(error.starts_with("failed to read /nowhere/x.yaml: "), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = load(&[empty.path().to_owned()]).unwrap_err().to_string();
    assert!(error.contains("no workflow in"), "{error}");
}
