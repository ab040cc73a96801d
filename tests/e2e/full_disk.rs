//! A disk that is really full: a small one of the test's own, in a mount namespace that goes with the service.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::{Process, free_port};

const RUNS: &str = "/v1/namespaces/default/runs";
/// The input of a run, in bytes.
const TEXT_LEN: usize = 100_000;
/// More than the disk of either test has room for.
const STARTS_MAX: usize = 2_000;

/// A queue service whose store is on a disk of so many MiB, of which a file takes some away until it is removed.
struct Service {
    process: Process,
    server: String,
    folder: tempfile::TempDir,
    client: reqwest::Client,
}

impl Service {
    async fn start(disk_mib: u32, taken_mib: u32, keep_free: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = format!("127.0.0.1:{}", free_port());
        let script = format!(
            "mkdir \"$0\" && mount -t tmpfs -o size={disk_mib}m none \"$0\" && head -c {taken_mib}M /dev/zero > \"$0/ballast\" && exec \"$@\" --store \"file:$0/store.redb\""
        );
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(folder.path().join("disk"));
        command.arg(env!("CARGO_BIN_EXE_everloop")).args(["queue", "--listen", &listen, "--keep-free", &keep_free.to_string()]);
        let log = std::fs::File::create(folder.path().join("log")).expect("a log file");
        command.stdout(Stdio::null()).stderr(log);
        let process = Process::spawn("unshare (apt-get install util-linux)", &mut command);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client");
        let mut service = Self { process, server: format!("http://{listen}"), folder, client };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !service.client.get(format!("{}/readyz", service.server)).send().await.is_ok_and(|answer| answer.status() == 200) {
            let alive = service.process.is_alive();
            assert!(alive && Instant::now() < deadline, "no service on a disk of its own: {}", service.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let source = "export default async function size(text) { return text.length; }";
        let (status, answer) = service
            .send(
                reqwest::Method::PUT,
                "/v1/namespaces/default/workflows/size",
                json!({"name": "size", "pool": "default", "definition": {"source": source}}),
            )
            .await;
        assert_eq!(status, 200, "{answer:#}");
        service
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Value) -> (u16, Value) {
        let answer = self.client.request(method, format!("{}{path}", self.server)).json(&body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    async fn start_run(&self, n: usize) -> (u16, Value) {
        let text = "x".repeat(TEXT_LEN);
        self.send(reqwest::Method::POST, RUNS, json!({"workflow": "size", "id": format!("r{n}"), "input": text})).await
    }

    /// Starts runs until one is refused; how many were not.
    async fn fill(&self) -> usize {
        for n in 0..STARTS_MAX {
            let (status, answer) = self.start_run(n).await;
            if status == 201 {
                continue;
            }
            assert_eq!(status, 507, "{answer:#}");
            assert_eq!(answer["code"], "StorageFull", "{answer:#}");
            assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("nothing was changed")), "{answer:#}");
            assert!(answer["next"].as_str().is_some_and(|next| !next.is_empty()), "{answer:#}");
            return n;
        }
        panic!("the disk is never full");
    }

    /// Of the runs that there are.
    async fn exists(&self, n: usize) -> bool {
        let answer = self.client.get(format!("{}{RUNS}/r{n}", self.server)).send().await.expect("an answer");
        assert!(answer.status() == 200 || answer.status() == 404, "{}", answer.status());
        answer.status() == 200
    }

    fn make_room(&self) {
        let seen_from_here: PathBuf = format!("/proc/{}/root{}/disk/ballast", self.process.id(), self.folder.path().display()).into();
        std::fs::remove_file(seen_from_here).expect("the ballast is removed");
    }

    /// A worker finishes what was started.
    async fn all_end(&self, runs: usize) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.args(["worker", "--pool", "default", "--server", &self.server, "--loops", "1"]);
        let _worker = Process::spawn("worker", command.stdout(Stdio::null()).stderr(Stdio::null()));
        for n in 0..runs {
            let url = format!("{}{RUNS}/r{n}?wait=20s", self.server);
            let view: Value = self.client.get(url).send().await.expect("an answer").json().await.expect("JSON");
            assert_eq!(view["result"], TEXT_LEN, "r{n} was acknowledged: {view:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_changes_nothing_and_is_used_again_when_it_has_room() {
    let service = Service::start(48, 24, 0).await;
    let started = service.fill().await;
    assert!(started > 10, "{started}");
    for n in [0, started - 1] {
        assert!(service.exists(n).await, "r{n} was acknowledged");
    }
    assert!(!service.exists(started).await, "what was refused is not there");
    service.make_room();
    let (status, answer) = service.start_run(started).await;
    assert_eq!(status, 201, "{answer:#}");
    service.all_end(started + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_nearly_full_takes_nothing_new_and_ends_what_has_begun() {
    let service = Service::start(192, 64, 64).await;
    let started = service.fill().await;
    assert!(started > 10, "{started}");
    assert!(!service.exists(started).await, "what was refused is not there");
    service.all_end(started).await;
    let (status, answer) = service.start_run(started).await;
    assert_eq!(status, 507, "{answer:#}");
    service.make_room();
    let (status, answer) = service.start_run(started).await;
    assert_eq!(status, 201, "{answer:#}");
}
