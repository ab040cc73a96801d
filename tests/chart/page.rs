//! The commands of docs/install.md, run by a shell as they are written there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::control_plane::control_plane;
use crate::helm::repository;

/// What stands for something of the reader's own, and what it is here.
const YOURS: [(&str, &str); 4] =
    [("REGISTRY", "registry.example"), ("SIZE", "9Gi"), ("PASSWORD", "another.p4ssword"), ("workflowrun NAME", "workflowrun hello-ada")];

pub struct Page {
    /// As written, with what is the reader's own put in.
    commands: Vec<String>,
    ran: RefCell<BTreeSet<String>>,
    /// The home of who types them; its folder `bin` has helm, kubectl and everloop.
    home: tempfile::TempDir,
    server: String,
}

impl Page {
    /// `server` is where `everloop` finds the queue service: there is no pod to which it could forward a port.
    pub fn new(server: &str) -> Self {
        let text = std::fs::read_to_string(repository("docs/install.md")).expect("docs/install.md");
        let home = tempfile::tempdir().expect("a folder");
        programs(home.path());
        Self { commands: commands(&text), ran: RefCell::default(), home, server: server.to_owned() }
    }

    /// Runs the one command that has this piece; what it prints. It must succeed.
    #[track_caller]
    pub fn run(&self, piece: &str) -> String {
        self.run_with(piece, str::to_owned)
    }

    /// The same, changed by what a control plane without a node asks for.
    #[track_caller]
    pub fn run_with(&self, piece: &str, change: impl Fn(&str) -> String) -> String {
        let found: Vec<_> = self.commands.iter().filter(|command| command.contains(piece)).collect();
        let [command] = found[..] else { panic!("docs/install.md has {} commands with `{piece}`", found.len()) };
        self.ran.borrow_mut().insert(command.clone());
        self.shell(&change(command))
    }

    #[track_caller]
    fn shell(&self, command: &str) -> String {
        let path = format!("{}:{}", self.home.path().join("bin").display(), std::env::var("PATH").expect("a PATH"));
        let mut shell = Command::new("sh");
        shell.args(["-ec", command]).current_dir(repository("")).stdin(Stdio::null()).env("PATH", path).env("HOME", self.home.path());
        // The editor changes nothing.
        shell.env("KUBECONFIG", control_plane().kubeconfig()).env("EVERLOOP_SERVER", &self.server).env("KUBE_EDITOR", "true");
        let output = shell.output().expect("sh runs");
        let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "`{command}`, as docs/install.md has it: {said}{told}");
        told.into_owned()
    }

    /// Each command of the page was run, but for those with these pieces.
    #[track_caller]
    pub fn was_run_but_for(&self, others: &[&str]) {
        let ran = self.ran.borrow();
        let left: Vec<_> = self.commands.iter().filter(|command| !ran.contains(*command)).collect();
        let untold: Vec<_> = left.iter().filter(|command| !others.iter().any(|other| command.contains(other))).collect();
        assert!(untold.is_empty(), "docs/install.md has commands that no test runs: {untold:#?}");
        let idle: Vec<_> = others.iter().filter(|other| !left.iter().any(|command| command.contains(**other))).collect();
        assert!(idle.is_empty(), "the page has nothing with {idle:?}, or it was run");
    }
}

/// Lines of blocks, and whole commands within a text.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        if number % 2 == 1 {
            let lines = part.strip_prefix("sh\n").expect("a block of the page is for a shell").lines();
            // What follows two spaces and a `#` is said to the reader.
            commands.extend(lines.map(|line| line.split("  #").next().unwrap_or_default().trim_end().to_owned()));
            continue;
        }
        let quoted = part.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        let is_whole = |text: &&str| {
            let words: Vec<_> = text.split_whitespace().collect();
            matches!(words.first(), Some(&("kubectl" | "helm" | "docker" | "everloop"))) && words.len() > 3
        };
        commands.extend(quoted.filter(is_whole).map(str::to_owned));
    }
    for command in &mut commands {
        for (written, here) in YOURS {
            *command = command.replace(written, here);
        }
    }
    commands
}

/// Programs by their names, in a folder of a home.
fn programs(home: &Path) {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let bin = home.join("bin");
    for folder in [&bin, &home.join(".local/bin")] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let program = |variable: &str| PathBuf::from(std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: make test")));
    symlink(program("EVERLOOP_TEST_HELM"), bin.join("helm")).expect("a link");
    symlink(env!("CARGO_BIN_EXE_everloop"), bin.join("everloop")).expect("a link");
    let kubectl = bin.join("kubectl");
    // A folder of the home is on the PATH too, for plugins.
    let script = format!("#!/bin/sh\nPATH=$PATH:$HOME/.local/bin exec {} kubectl \"$@\"\n", program("EVERLOOP_TEST_KUBE").display());
    std::fs::write(&kubectl, script).expect("a script");
    std::fs::set_permissions(&kubectl, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
}
