//! What people get wrong, through the real command line: a stable code, words that help, the right exit code, and nothing changed.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fleet::{Fleet, StoreKind, free_port};

const USAGE: i32 = 2;
const REFUSED: i32 = 3;

/// Runs the program; its exit code and what it said.
fn everloop(server: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    let output = command.args(arguments).env("EVERLOOP_SERVER", server).stdin(Stdio::null()).output().expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().expect("it ends by itself"), said)
}

/// It ends with this code and says all of this.
fn refused(server: &str, arguments: &[&str], exit: i32, words: &[&str]) {
    let (code, said) = everloop(server, arguments);
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    assert!(missing.is_empty(), "`everloop {}` does not say {missing:?}:\n{said}", arguments.join(" "));
    assert_eq!(code, exit, "`everloop {}`:\n{said}", arguments.join(" "));
}

fn state(server: &str) -> (String, String) {
    (everloop(server, &["workflows", "-o", "json"]).1, everloop(server, &["list", "-o", "json"]).1)
}

fn workflow(source: &str) -> String {
    let body = source.lines().map(|line| format!("      {line}\n")).collect::<String>();
    format!("apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: wrong}}\nspec:\n  source:\n    inline: |\n{body}")
}

fn file(folder: &Path, text: &str) -> String {
    let path = folder.join("wrong.yaml");
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_cannot_work_are_refused_on_check_and_on_apply() {
    let fleet = Fleet::start(StoreKind::File, 1).await;
    let (server, folder) = (fleet.server(0), tempfile::tempdir().expect("a folder"));
    let before = state(&server);
    let main = "export default async function wrong(input) {\n";
    let cases: [(String, &[&str]); 6] = [
        ("kind: [Workflow".to_owned(), &["InvalidYaml", "wrong.yaml:"]),
        (workflow("export default async () => 1;").replace("spec:", "spec:\n  pol: x"), &["UnknownField", "pol", "pool"]),
        (workflow("export default async function wrong( {\n  return 1;\n}"), &["SyntaxError", "wrong.yaml:", "^"]),
        (workflow("async function wrong() {}"), &["NoDefaultExport"]),
        (workflow(&format!("{main}  return await charge(input);\n}}")), &["UnknownName", "charge", "wrong.yaml:"]),
        (workflow(&format!("{main}  return await fetch(input);\n}}")), &["ForbiddenGlobal", "fetch"]),
    ];
    for (text, words) in &cases {
        let path = file(folder.path(), text);
        refused(&server, &["check", &path], USAGE, words);
        refused(&server, &["apply", "-f", &path], USAGE, words);
    }
    assert_eq!(state(&server), before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_work_are_refused_and_change_nothing() {
    let fleet = Fleet::start(StoreKind::File, 1).await;
    let server = fleet.server(0);
    fleet.apply("echo", "export default async function echo(input) { return input; }", json!({})).await;
    let (code, said) = everloop(&server, &["run", "echo", "--id", "taken", "--input", "1"]);
    assert_eq!(code, 0, "{said}");
    let before = state(&server);
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        format!("@{}", path.display())
    };
    let large = written("large.json", format!("\"{}\"", "x".repeat(1 << 20)));
    let deep = written("deep.json", format!("{}{}", "[".repeat(65), "]".repeat(65)));
    refused(&server, &["run", "ecko"], REFUSED, &["WorkflowNotFound", "ecko"]);
    refused(&server, &["get", "nobody"], REFUSED, &["RunNotFound", "nobody"]);
    refused(&server, &["run", "echo", "--id", "taken", "--input", "2"], REFUSED, &["RunIdTaken", "taken"]);
    refused(&server, &["run", "echo", "--input", &large], USAGE, &["PayloadTooLarge"]);
    refused(&server, &["run", "echo", "--input", &deep], USAGE, &["JsonTooDeep"]);
    refused(&server, &["signal", "taken", "nobody-reads-this", "1"], REFUSED, &["UnknownSignal"]);
    let plain = reqwest::Client::new().post(format!("{server}/v1/namespaces/default/runs")).body("workflow=echo").send().await;
    let plain = plain.expect("an answer");
    assert_eq!(plain.status(), 415);
    assert_eq!(plain.json::<Value>().await.expect("a problem")["code"], "UnsupportedContentType");
    assert_eq!(state(&server), before, "nothing was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_cannot_be_used_are_named_at_the_start() {
    let fleet = Fleet::start(StoreKind::Redis, 1).await;
    let taken = format!("127.0.0.1:{}", fleet.ports[0]);
    refused(
        "",
        &["queue", "--listen", &taken, "--store", &fleet.store_url],
        USAGE,
        &["(AddressInUse)", &taken, "another program listens there already"],
    );
    let nowhere = format!("redis://127.0.0.1:{}/0", free_port());
    let listen = format!("127.0.0.1:{}", free_port());
    refused(
        "",
        &["queue", "--listen", &listen, "--store", &nowhere],
        REFUSED,
        &["(StoreUnavailable)", "failed to open the store", &nowhere],
    );
    refused(&format!("http://127.0.0.1:{}", free_port()), &["list"], REFUSED, &["(ServerUnreachable)", "next:"]);
    // A file that a newer program wrote, and one that is no store.
    let folder = tempfile::tempdir().expect("a folder");
    let (newer, other) = (folder.path().join("newer.redb"), folder.path().join("other.redb"));
    {
        let database = redb::Database::create(&newer).expect("a file");
        let transaction = database.begin_write().expect("a transaction");
        let meta = redb::TableDefinition::<&[u8], &[u8]>::new("meta");
        transaction.open_table(meta).expect("a table").insert(&b"format"[..], &99_u64.to_be_bytes()[..]).expect("a row");
        transaction.commit().expect("a commit");
    }
    std::fs::write(&other, "no store").expect("a file");
    let queue = |path: &Path| format!("file:{}", path.display());
    refused(
        "",
        &["queue", "--listen", &listen, "--store", &queue(&newer)],
        REFUSED,
        &["(StoreUnfit)", "format 99", "newer everloop", "next:"],
    );
    refused("", &["queue", "--listen", &listen, "--store", &queue(&other)], REFUSED, &["(StoreUnfit)", "is not a store", "next:"]);
    assert_eq!(std::fs::read(&other).expect("the file"), b"no store", "it is left as it was");
}

/// Requests fail clearly while the store is away; what was acknowledged is there when it is back, and work goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_goes_away_is_said_to_be_away_and_work_goes_on_when_it_is_back() {
    let mut fleet = Fleet::start(StoreKind::Redis, 1).await;
    let server = fleet.server(0);
    fleet.apply("echo", "export default async function echo(input) { return input; }", json!({})).await;
    let (code, said) = everloop(&server, &["run", "echo", "--id", "before", "--input", "1"]);
    assert_eq!(code, 0, "{said}");
    fleet.redis.as_mut().expect("it runs").kill();
    let client = reqwest::Client::new();
    let body = json!({"workflow": "echo", "id": "during", "input": 2});
    let answer = client.post(format!("{server}/v1/namespaces/default/runs")).json(&body).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    let problem: Value = answer.json().await.expect("a problem");
    assert_eq!(problem["code"], "StoreUnavailable", "{problem:#}");
    assert!(problem["next"].as_str().is_some_and(|next| !next.is_empty()), "{problem:#}");
    let request = problem["request"].as_str().expect("the request's id");
    let log = fleet.log_text("queue-0");
    let line = log.lines().find(|line| line.contains(request)).unwrap_or_else(|| panic!("the log does not name {request}:\n{log}"));
    assert!(line.contains("StoreUnavailable"), "{line}");
    fleet.start_redis();
    fleet.ready(0).await;
    fleet.add_worker();
    let (code, said) = everloop(&server, &["result", "before", "--wait"]);
    assert_eq!((code, said.trim()), (0, "1"), "what was acknowledged before is there");
    let (code, said) = everloop(&server, &["run", "echo", "--id", "during", "--input", "2", "--wait"]);
    assert_eq!((code, said.contains('2')), (0, true), "{said}");
}
