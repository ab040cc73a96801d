//! The disk of Redis nearly full, and then full, with all that is open in it. The disk is a small one of its own, in a mount namespace
//! that goes with its keeper.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::report::Report;
use crate::scenarios::payload;
use crate::servers::Redis;
use crate::soak::wake;
use crate::world::World;

/// What is left on the disk, and what is removed to make room again, in MiB.
const LEFT_MIB: u64 = 32;
const BALLAST_MIB: u64 = 256;
/// The input of a run that fills it, in bytes, and more of them than there is room for.
const TEXT_LEN: usize = 100_000;
const STARTS_MAX: usize = 2_000;
/// Longest wait for a Redis that ends itself, and for a service that is ready again.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
const READY_WITHIN: Duration = Duration::from_mins(2);
/// Short runs while it is nearly full.
const SHORT_RUNS: usize = 200;

/// A small disk. It goes when its keeper ends.
struct Disk {
    keeper: Child,
    /// As it is seen from outside.
    folder: PathBuf,
}

impl Disk {
    /// `None`: this machine lets nobody mount a disk of his own.
    fn mount(below: &Path, mib: u64) -> Option<Self> {
        let place = below.join("disk");
        let script = format!(
            "mkdir \"$0\" && mount -t tmpfs -o size={mib}m none \"$0\" && head -c {BALLAST_MIB}M /dev/zero > \"$0/ballast\" && echo mounted && exec cat"
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(&place);
        let keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let folder = PathBuf::from(format!("/proc/{}/root{}", keeper.id(), place.display()));
        let mut disk = Self { keeper, folder };
        let mut said = String::new();
        BufReader::new(disk.keeper.stdout.take()?).read_line(&mut said).ok()?;
        (said.trim() == "mounted").then_some(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Moves Redis to the small disk, fills that, makes room, and looks for all that was acknowledged. `waiting`: runs that wait for a signal.
pub async fn measure(mut world: World, report: &mut Report, waiting: &[String]) {
    const NAME: &str = "disk of Redis";
    world.redis[0].stop().await;
    let data = world.folder.path().join("appendonlydir");
    let bytes: u64 = std::fs::read_dir(&data).expect("its files").flatten().map(|file| file.metadata().expect("a file").len()).sum();
    let Some(disk) = Disk::mount(world.folder.path(), bytes.div_ceil(1 << 20) + LEFT_MIB + BALLAST_MIB) else {
        report.settings.insert(NAME, "NOT FILLED: nobody may mount a small one here (unshare --user --mount)".into());
        return;
    };
    let there = disk.folder.join("appendonlydir");
    std::fs::create_dir(&there).expect("a folder");
    for file in std::fs::read_dir(&data).expect("its files").flatten() {
        std::fs::copy(file.path(), there.join(file.file_name())).expect("room for what there is");
    }
    restart(&mut world, &disk).await;
    let mut latencies = Vec::new();
    for _ in 0..SHORT_RUNS {
        latencies.push(world.start_and_wait("one", &payload()).await);
    }
    report.add("disk nearly full", "a short run", "ms", latencies);

    let (started, refusal) = fill(&world).await;
    let deadline = Instant::now() + ENDS_WITHIN;
    let mut ended = false;
    while !ended && Instant::now() < deadline {
        ended = world.redis[0].child.try_wait().expect("a child").is_some();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::remove_file(disk.folder.join("ballast")).expect("the ballast is there");
    let room = Instant::now();
    if ended {
        restart(&mut world, &disk).await;
    }
    world.start_and_wait("one", &payload()).await;
    report.add("disk full", "from room to a result", "s", vec![room.elapsed().as_secs_f64()]);
    let mut lost = 0_u32;
    for n in 0..started {
        let (status, view) = world.client.exchange("GET", &format!("/v1/namespaces/default/runs/fill-{n}?wait=60s"), "").await;
        if status != 200 || view["status"] != "Completed" {
            eprintln!("fill-{n}: {status} {view}");
            lost += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "at most some thousands")]
    report.add("disk full", "runs acknowledged", "", vec![started as f64]);
    report.add("disk full", "of them not ended", "", vec![f64::from(lost)]);
    report.add("disk full", "then signal to result", "ms", wake(&world, &waiting[..waiting.len().min(100)]).await);
    let then = if ended { "then Redis ended itself, and was started again" } else { "Redis went on" };
    report.settings.insert(NAME, format!("{LEFT_MIB} MiB left of it, filled with runs of {TEXT_LEN} B: {refusal}; {then}"));
}

/// Starts Redis on the small disk at its old address, and waits until the service has it again.
async fn restart(world: &mut World, disk: &Disk) {
    let port = world.redis[0].port;
    // It would write its file anew for lack of room otherwise, and have less.
    world.redis[0] = Redis::start_on(port, &disk.folder, &["--auto-aof-rewrite-percentage", "0"]).await;
    let deadline = Instant::now() + READY_WITHIN;
    while world.client.exchange("GET", "/readyz", "").await.0 != 200 {
        assert!(Instant::now() < deadline, "the service does not get ready again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts runs until one is refused: how many were not, and the refusal.
async fn fill(world: &World) -> (usize, String) {
    let input = "x".repeat(TEXT_LEN);
    for n in 0..STARTS_MAX {
        let body = json!({"workflow": "one", "id": format!("fill-{n}"), "input": input}).to_string();
        let (status, answer) = world.client.exchange("POST", "/v1/namespaces/default/runs", &body).await;
        if status != 201 {
            return (n, format!("{status} {}", answer["code"].as_str().unwrap_or("?")));
        }
    }
    (STARTS_MAX, "never refused".into())
}
