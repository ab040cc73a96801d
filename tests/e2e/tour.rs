//! The README's five minutes, typed in as they are written.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::examples::{typed, until_there};
use crate::fleet::{Process, free_port};

/// The commands of the tour: the first block after these words, without comments.
fn commands(page: &str) -> Vec<String> {
    let block = page.split("In another terminal:").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("the tour's second block");
    let lines = block.lines().skip(1).map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned());
    lines.filter(|line| line.starts_with("everloop ")).collect()
}

/// What a comment beside a command says that it prints.
fn promised(page: &str, command: &str) -> Option<Value> {
    let line = page.lines().find(|line| line.starts_with(command))?;
    serde_json::from_str(line.split("  #").nth(1)?.trim().trim_start_matches('#')).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_tour_works_as_it_is_written() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let listen = format!("127.0.0.1:{}", free_port());
    let server = format!("http://{listen}");
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.args(["dev", "-f", concat!(env!("CARGO_MANIFEST_DIR"), "/examples"), "--listen", &listen]);
    // Its store is a file where it is started.
    command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut dev = Process::spawn("dev", &mut command);
    until_there(&server, "typed", &mut dev);
    let commands = commands(&page);
    let mut kept = 0;
    for command in &commands {
        let printed = typed(command, &server);
        if let Some(promised) = promised(&page, command) {
            assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), promised, "{command}");
            kept += 1;
        }
        if command.starts_with("everloop get") {
            assert!(printed.contains("Running"), "{printed}");
        }
    }
    // "Kill `everloop dev` with `kill -9` while a run sleeps, start it again: the run goes on."
    typed("everloop run approval --id waits --input '{\"what\": \"x\", \"within\": \"2s\"}'", &server);
    dev.kill();
    dev = Process::spawn("dev", &mut command);
    until_there(&server, "typed", &mut dev);
    let result: Value = serde_json::from_str(&typed("everloop result waits --wait", &server)).expect("JSON");
    assert_eq!(result["status"], "expired", "it slept on");
    assert!(commands.len() >= 7, "the tour is there: {commands:?}");
    assert_eq!(kept, 2, "two commands say what they print");
}
