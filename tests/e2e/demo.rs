//! `everloop demo`: it shows that the promise holds, says so when it does not, and leaves nothing behind.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::fleet::{Fleet, Process, StoreKind};

/// Longer than any of these demos takes.
const LIMIT: Duration = Duration::from_mins(2);

/// A demo under way. What it prints goes to files beside its folder for temporary ones.
struct Demo {
    folder: tempfile::TempDir,
    process: Process,
}

/// How it ended.
struct Ended {
    code: Option<i32>,
    printed: String,
    notes: String,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).expect("a folder");
        let file = |name: &str| Stdio::from(std::fs::File::create(folder.path().join(name)).expect("a file"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.arg("demo").args(args).env("TMPDIR", &temporary).stdout(file("printed")).stderr(file("notes"));
        let process = Process::spawn("demo", &mut command);
        Self { folder, process }
    }

    fn notes(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("notes")).expect("the notes")
    }

    /// Waits for a note; what follows it on its line.
    async fn noted(&mut self, words: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let notes = self.notes();
            if let Some((_, rest)) = notes.split_once(words)
                && let Some((line, _)) = rest.split_once('\n')
            {
                return line.to_owned();
            }
            assert!(self.process.is_alive() && Instant::now() < deadline, "the demo does not say {words:?}:\n{notes}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the end, and looks for what must not be left.
    fn end(mut self) -> Ended {
        let code = self.process.wait(LIMIT);
        let printed = std::fs::read_to_string(self.folder.path().join("printed")).expect("the output");
        let notes = self.notes();
        let files: Vec<_> = std::fs::read_dir(self.folder.path().join("tmp")).expect("a folder").flatten().collect();
        assert!(files.is_empty(), "files are left: {files:?}\n{notes}");
        assert_eq!(children(self.process.id()), Vec::<String>::new(), "processes are left:\n{notes}");
        Ended { code, printed, notes }
    }
}

/// The processes that were started for a demo, by what they were told of their parent.
fn children(demo: u32) -> Vec<String> {
    let mark = format!("EVERLOOP_DEMO_PARENT={demo}");
    let is_one = |folder: &Path| {
        let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
    processes.filter(|folder| is_one(folder)).map(|folder| folder.display().to_string()).collect()
}

fn held(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.notes, ended.printed);
    assert!(ended.printed.contains("everything held") && !ended.printed.contains("BROKEN"), "{}", ended.printed);
}

async fn ended(demo: Demo) -> Ended {
    tokio::task::spawn_blocking(move || demo.end()).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_kills_a_worker_and_the_service_and_proves_that_nothing_is_lost() {
    let ended = ended(Demo::start(&["--orders", "120"])).await;
    held(&ended);
    assert!(ended.notes.contains("SIGKILL worker-"), "{}", ended.notes);
    assert!(ended.notes.contains("SIGKILL the queue service"), "{}", ended.notes);
    for claim in ["every payment charged exactly once", "no timer fired early", "the killed worker's orders went on elsewhere"] {
        assert!(ended.printed.contains(claim), "{claim}: {}", ended.printed);
    }
    assert!(ended.printed.contains("120 orders") && ended.printed.contains("lived on two workers:"), "{}", ended.printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_on_redis_with_one_worker() {
    let fleet = Fleet::start(StoreKind::Redis, 0).await;
    let ended = ended(Demo::start(&["--orders", "40", "--workers", "1", "--store", &fleet.store_url])).await;
    held(&ended);
    assert!(ended.notes.contains("it was the only one: worker-2 takes over"), "{}", ended.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_kills_nothing_when_it_is_told_so() {
    let ended = ended(Demo::start(&["--orders", "20", "--no-kill"])).await;
    held(&ended);
    assert!(!ended.notes.contains("SIGKILL"), "{}", ended.notes);
}

/// Somebody else charges an order while the demo runs: its proof must find that, in the shop's books.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_fails_when_a_payment_is_charged_twice() {
    let mut demo = Demo::start(&["--orders", "20", "--no-kill"]);
    let shop = demo.noted("shop at ").await.split(": ").next().expect("an address").to_owned();
    let forged = reqwest::Client::new().post(format!("{shop}/charge")).header("idempotency-key", "forged");
    // Even numbers have no trouble with payments.
    let answer = forged.json(&json!({"id": "order-0002"})).send().await.expect("the shop answers");
    assert!(answer.status().is_success());
    let ended = ended(demo).await;
    assert_eq!(ended.code, Some(1), "{}\n{}", ended.notes, ended.printed);
    assert!(ended.printed.contains("order-0002 came to the payments under 2 idempotency keys"), "{}", ended.printed);
    assert!(ended.printed.contains("NOT everything held"), "{}", ended.printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_demo_leaves_nothing_behind() {
    let mut demo = Demo::start(&["--orders", "40"]);
    demo.noted("SIGKILL worker-").await;
    assert!(children(demo.process.id()).len() >= 3, "its processes are found while they are there");
    demo.process.signal(Signal::INT);
    let ended = ended(demo).await;
    assert_eq!(ended.code, Some(1), "{}", ended.notes);
    assert!(ended.notes.contains("interrupted"), "{}", ended.notes);
}

/// What cannot clean up has at least no processes left.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_demo_takes_its_processes_with_it() {
    let mut demo = Demo::start(&["--orders", "40"]);
    demo.noted("orders come in").await;
    let id = demo.process.id();
    demo.process.kill();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !children(id).is_empty() {
        assert!(Instant::now() < deadline, "{:?} are left", children(id));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_demo_is_not_run_on_a_store_that_forgets() {
    let refused: Output = Command::new(env!("CARGO_BIN_EXE_everloop")).args(["demo", "--store", "memory"]).output().expect("everloop runs");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("write file or redis://HOST:PORT"));
}
