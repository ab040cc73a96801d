//! What an acknowledgement is worth is said everywhere, and is true.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::{Fleet, Process, StoreKind, free_port};

async fn start(fleet: &Fleet, id: &str) {
    let body = json!({"workflow": "echo", "id": id});
    let url = format!("{}/v1/namespaces/default/runs", fleet.server(0));
    let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
}

async fn exists(fleet: &Fleet, id: &str) -> bool {
    let url = format!("{}/v1/namespaces/default/runs/{id}", fleet.server(0));
    reqwest::get(url).await.expect("an answer").status() == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn the_durability_is_stated_and_kept_by_the_embedded_store() {
    for mode in ["strict", "everysec"] {
        let mut fleet = Fleet::start(StoreKind::File, 0).await;
        fleet.ports.push(free_port());
        fleet.services.push(None);
        let env = [("EVERLOOP_DURABILITY", mode)];
        fleet.start_service(0, &env);
        fleet.ready(0).await;
        let ready: Value = reqwest::get(format!("{}/readyz", fleet.server(0))).await.expect("an answer").json().await.expect("JSON");
        assert_eq!(ready["durability"], mode, "{ready:#}");
        let log = fleet.log_text("queue-0");
        assert!(log.lines().any(|line| line.contains("the queue service starts") && line.contains(mode)), "{log}");

        fleet.apply("echo", "export default async (input) => input;", json!({})).await;
        start(&fleet, "first").await;
        if mode == "everysec" {
            // The promise: what is older than about a second is kept.
            tokio::time::sleep(Duration::from_millis(2_500)).await;
        }
        fleet.services[0].as_mut().expect("it runs").kill();
        fleet.start_service(0, &env);
        fleet.ready(0).await;
        assert!(exists(&fleet, "first").await, "{mode}: it was acknowledged, and kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_durability_is_stated_on_redis() {
    let fleet = Fleet::start(StoreKind::Redis, 1).await;
    let ready: Value = reqwest::get(format!("{}/readyz", fleet.server(0))).await.expect("an answer").json().await.expect("JSON");
    assert_eq!((&ready["durability"], &ready["ready"]), (&"strict".into(), &true.into()), "{ready:#}");
    let log = fleet.log_text("queue-0");
    assert!(log.lines().any(|line| line.contains("the queue service starts") && line.contains("strict")), "{log}");
}

#[test]
fn the_dev_server_states_its_durability() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = format!("127.0.0.1:{}", free_port());
    let stated = |store: &str, durability: &str| {
        let said = folder.path().join("said");
        let file = std::fs::File::create(&said).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
        command.args(["dev", "--listen", &listen, "--store", store]).current_dir(folder.path());
        command.stdout(file.try_clone().expect("the file")).stderr(file);
        let mut dev = Process::spawn("dev", &mut command);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !std::fs::read_to_string(&said).expect("the file").contains(&format!("durability {durability}")) {
            assert!(dev.is_alive() && Instant::now() < deadline, "{}", std::fs::read_to_string(&said).expect("the file"));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    stated("memory", "none");
    stated("file:dev.redb", "strict");
}
