//! `everloop dev` follows its files: a changed one is a new version for new runs, a broken one leaves the last good version in force.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::examples::{typed, until_there};
use crate::fleet::{Process, free_port};

fn workflow(body: &str) -> String {
    format!(
        "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: greeting}}\nspec:\n  source:\n    inline: |\n      export default async () => {body};\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_a_new_version_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("greeting.yaml");
    std::fs::write(&path, workflow("\"one\"")).expect("a file");
    let listen = format!("127.0.0.1:{}", free_port());
    let server = format!("http://{listen}");
    let log = std::fs::File::create(folder.path().join("dev.log")).expect("a log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.arg("dev").arg("-f").arg(&path).args(["--store", "memory", "--listen", &listen]).stdout(Stdio::null()).stderr(log);
    let mut dev = Process::spawn("dev", &mut command);
    until_there(&server, "greeting", &mut dev);
    let greeting = || typed("everloop run greeting --wait", &server).trim().to_owned();
    assert_eq!(greeting(), "\"one\"");

    std::fs::write(&path, workflow("undeclared()")).expect("a file");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !std::fs::read_to_string(folder.path().join("dev.log")).expect("a log").contains("UnknownName") {
        assert!(Instant::now() < deadline, "the mistake is not told");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(greeting(), "\"one\"", "the last good version stays in force");

    std::fs::write(&path, workflow("\"two\"")).expect("a file");
    let deadline = Instant::now() + Duration::from_secs(20);
    while greeting() != "\"two\"" {
        assert!(Instant::now() < deadline, "the changed file is not applied");
        std::thread::sleep(Duration::from_millis(50));
    }
}
