//! Every example is run as the comment on top of it says, through `everloop dev` and the command line, on both stores, and gives
//! the result that the comment promises.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::fleet::{Fleet, Process, StoreKind, free_port};

/// Where the order's example expects its shop.
const SHOP: &str = "http://127.0.0.1:7411";

/// The comment on top of an example.
struct Example {
    name: String,
    /// The commands that are typed, but for `everloop dev`.
    commands: Vec<String>,
    /// What the last of them prints.
    result: Value,
}

fn read(path: &Path) -> Example {
    let text = std::fs::read_to_string(path).expect("an example");
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let comment: Vec<&str> = text.lines().map_while(|line| line.strip_prefix('#')).collect();
    let commands = comment.iter().filter_map(|line| line.strip_prefix("   ")).map(str::to_owned).collect::<Vec<_>>();
    let (dev, commands) = commands.split_first().unwrap_or_else(|| panic!("{name} does not say how it is run"));
    assert_eq!(*dev, format!("everloop dev -f examples/{name}.yaml"));
    let promised = comment.iter().find_map(|line| line.strip_prefix(" Result: ")).unwrap_or_else(|| panic!("{name} promises no result"));
    let result = serde_json::Deserializer::from_str(promised).into_iter().next();
    let result = result.and_then(Result::ok).unwrap_or_else(|| panic!("{name} promises no JSON: {promised}"));
    Example { name, commands: commands.to_vec(), result }
}

/// A shop that always says yes; its address.
async fn shop() -> String {
    let routes = axum::Router::new()
        .route("/charge", post(async || axum::Json(json!({"ok": true, "receipt": "r-1"}))))
        .route("/orders", post(async || axum::Json(json!({"accepted": true}))))
        .route("/near/{zip}", get(async || axum::Json(json!({"driver": "driver-1"}))))
        .route("/deliveries", post(async || axum::Json(json!({"delivered": true}))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// The examples, with their shop at another address, in a folder of the test's own.
fn copied(into: &Path, shop: &str) -> Vec<PathBuf> {
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).expect("examples") {
        let path = entry.expect("a file").path();
        let copy = into.join(path.file_name().expect("a name"));
        std::fs::write(&copy, std::fs::read_to_string(&path).expect("text").replace(SHOP, shop)).expect("a copy");
        if copy.extension().is_some_and(|extension| extension == "yaml") {
            copies.push(copy);
        }
    }
    copies.sort();
    copies
}

/// Types a command; what it printed.
pub fn typed(command: &str, server: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_everloop"));
    let path = format!("{}:{}", program.parent().expect("a folder").display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PATH", path)
        .env("EVERLOOP_SERVER", server)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{command}` ends with {}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

pub fn until_there(server: &str, name: &str, dev: &mut Process) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let asked = Command::new(env!("CARGO_BIN_EXE_everloop"))
            .args(["--server", server, "workflows", "-o", "json"])
            .output()
            .expect("everloop runs");
        if String::from_utf8_lossy(&asked.stdout).contains(&format!("\"{name}\"")) {
            return;
        }
        assert!(dev.is_alive(), "everloop dev has ended");
        assert!(Instant::now() < deadline, "{name} is not applied: {}", String::from_utf8_lossy(&asked.stderr));
        std::thread::sleep(Duration::from_millis(50));
    }
}

async fn every_example(kind: StoreKind) {
    // The fleet brings the store only: `everloop dev` is all the rest.
    let fleet = Fleet::start(kind, 0).await;
    let folder = tempfile::tempdir().expect("a folder");
    let copies = copied(folder.path(), &shop().await);
    assert!(copies.len() >= 8, "the examples are there");
    let listen = format!("127.0.0.1:{}", free_port());
    let server = format!("http://{listen}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    command.arg("dev").arg("-f").arg(folder.path()).args(["--store", &fleet.store_url, "--listen", &listen]);
    let mut dev = Process::spawn("dev", command.stdout(Stdio::null()).stderr(Stdio::null()));
    for path in copies {
        let example = read(&path);
        until_there(&server, &example.name, &mut dev);
        let mut beside = Vec::new();
        let mut printed = String::new();
        for command in &example.commands {
            if let Some(script) = command.strip_prefix("python3 ") {
                let mut python = Command::new("python3");
                python.arg(script).env("EVERLOOP_SERVER", &server).current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::null());
                beside.push(Process::spawn("python3", &mut python));
            } else {
                printed = typed(command, &server);
            }
        }
        let printed: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{} prints no JSON: {printed}", example.name));
        assert_eq!(printed, example.result, "{}", example.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_gives_its_result_on_the_embedded_store() {
    every_example(StoreKind::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_gives_its_result_on_redis() {
    every_example(StoreKind::Redis).await;
}
