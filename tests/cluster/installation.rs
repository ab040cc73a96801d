//! A queue service, a worker and an operator beside the API server, which look at one namespace.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use everloop::api::{Name, RunId};
use everloop::client::{Client, ClientConfig, ListRuns, Patience};

use crate::control_plane::{Namespace, bound_to_us, control_plane};
use crate::process::{Process, free_port};

/// The pool that every example names.
pub const POOL: &str = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: default}\nspec: {replicas: 0}\n";

pub struct Installation {
    pub namespace: Namespace,
    folder: tempfile::TempDir,
    store: Option<String>,
    kubeconfig: PathBuf,
    pub port: u16,
    queue: Option<Process>,
    operator: Option<Process>,
    _worker: Process,
}

impl Installation {
    /// With a pool, whose worker is a process of this machine, and a store in a file.
    pub fn new(name: &str) -> Self {
        Self::on(name, None)
    }

    /// On another store.
    pub fn on(name: &str, store: Option<String>) -> Self {
        let namespace = Namespace::new(name);
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let worker = Process::spawn("worker", everloop(port).args(["worker", "--pool", "default", "--loops", "1"]));
        let kubeconfig = control_plane().operators_kubeconfig(name);
        let mut installation = Self { namespace, folder, store, kubeconfig, port, queue: None, operator: None, _worker: worker };
        installation.start_queue();
        installation.start_operator();
        installation.namespace.apply(POOL).expect("a pool");
        installation
    }

    pub fn start_queue(&mut self) {
        let file = || format!("file:{}", self.folder.path().join("store.redb").display());
        let store = self.store.clone().unwrap_or_else(file);
        let listen = format!("127.0.0.1:{}", self.port);
        self.queue = Some(Process::spawn("queue", everloop(self.port).args(["queue", "--listen", &listen, "--store", &store])));
    }

    /// Puts the store away: the next queue service makes another one.
    pub fn put_store_away(&self) {
        std::fs::rename(self.folder.path().join("store.redb"), self.folder.path().join("away.redb")).expect("the store's file");
    }

    /// Brings the store back that was put away.
    pub fn bring_store_back(&self) {
        std::fs::rename(self.folder.path().join("away.redb"), self.folder.path().join("store.redb")).expect("the store's file");
    }

    /// SIGKILL.
    pub fn kill_queue(&mut self) {
        self.queue = None;
    }

    /// Always of the same name, as a container that is started again in its pod: it need not wait for its own Lease to end.
    pub fn start_operator(&mut self) {
        self.operator = Some(self.another_operator("operator", &[]));
    }

    pub fn another_operator(&self, name: &str, more: &[&str]) -> Process {
        self.another_operator_with(name, more, &[])
    }

    pub fn another_operator_with(&self, name: &str, more: &[&str], variables: &[(&str, &str)]) -> Process {
        let mut command = everloop(self.port);
        let namespace = &self.namespace.0;
        command
            .args(["operator", "--operator-namespace", namespace, "--watch-namespace", namespace, "--name", name])
            .args(more)
            .envs(variables.iter().copied());
        Process::spawn(name, command.env("KUBECONFIG", &self.kubeconfig))
    }

    /// Operators that start from now on find the API server at another port.
    pub fn find_api_server_at(&mut self, port: u16) {
        let config = std::fs::read_to_string(&self.kubeconfig).expect("a kubeconfig");
        let (direct, other) = (format!("127.0.0.1:{}", control_plane().port()), format!("127.0.0.1:{port}"));
        assert!(config.contains(&direct), "{config}");
        self.kubeconfig = self.folder.path().join("kubeconfig");
        std::fs::write(&self.kubeconfig, config.replace(&direct, &other)).expect("a file");
    }

    /// A worker of a pool of the installation's namespace.
    pub fn worker(&self, pool: &str) -> Process {
        Process::spawn("worker", everloop(self.port).args(["worker", "--pool", pool, "--loops", "1"]))
    }

    /// The same, with variables.
    pub fn worker_with(&self, pool: &str, variables: &[(&str, String)]) -> Process {
        let mut command = everloop(self.port);
        command.args(["worker", "--pool", pool, "--loops", "1"]).envs(variables.iter().map(|(name, value)| (name, value)));
        Process::spawn("worker", &mut command)
    }

    /// The run of an object.
    pub fn run_id_of(&self, object: &str) -> RunId {
        let found = self.namespace.get(object).expect("the object");
        found["status"]["runId"].as_str().and_then(|id| id.parse().ok()).expect("an id")
    }

    /// SIGKILL.
    pub fn kill_operator(&mut self) {
        self.operator = None;
    }

    pub fn client(&self) -> Client {
        Client::new(ClientConfig {
            server: format!("http://127.0.0.1:{}", self.port),
            namespace: self.namespace.0.parse::<Name>().expect("a name"),
            token: None,
            patience: Patience { unreachable: Duration::from_secs(20), unanswered: Duration::from_secs(20) },
        })
        .expect("a client")
    }

    /// The file of the store.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store.redb")
    }

    /// How many requests of a route the queue service has answered.
    pub fn requests(&self, route: &str) -> u64 {
        let (text, name) = (self.metrics(), format!("everloop_requests_total{{route=\"{route}\""));
        let samples = text.lines().filter(|line| line.starts_with(&name)).filter_map(|line| line.rsplit_once(' '));
        samples.map(|(_, count)| count.parse::<u64>().expect("a number")).sum()
    }

    /// What the queue service counts.
    pub fn metrics(&self) -> String {
        ask(self.port, "/metrics").expect("an answer of the queue service")
    }

    /// Ids of all runs that the queue service has.
    pub async fn runs(&self) -> Vec<String> {
        let list = ListRuns { workflow: None, status: None, limit: 1_000, cursor: String::new() };
        let runs = self.client().list(&list).await.expect("a list").runs;
        runs.into_iter().map(|run| run.id.to_string()).collect()
    }
}

/// An operator that answers probes.
pub struct Operator {
    pub process: Process,
    pub port: u16,
}

impl Operator {
    pub fn start(installation: &Installation, name: &str, options: &[&str]) -> Self {
        let port = free_port();
        let probes = format!("--probes=127.0.0.1:{port}");
        Self { process: installation.another_operator(name, &[&[probes.as_str()], options].concat()), port }
    }
}

/// What a process of this machine answers to a GET, head and body; nothing while it does not listen.
pub fn ask(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn everloop(port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everloop"));
    bound_to_us(&mut command).env("EVERLOOP_SERVER", format!("http://127.0.0.1:{port}")).env("EVERLOOP_LOG", "warn");
    command
}

/// A run of a workflow.
pub fn a_run(name: &str, workflow: &str, more: &str) -> String {
    format!("apiVersion: everloop.dev/v1alpha1\nkind: WorkflowRun\nmetadata: {{name: {name}}}\nspec: {{workflow: {workflow}{more}}}\n---\n")
}

/// A workflow without activities.
pub fn a_workflow(name: &str, body: &str) -> String {
    format!(
        "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: {name}}}\nspec:\n  source:\n    inline: |\n      import {{ sleep }} from \"everloop\";\n      export default async function main(input) {{\n        {body}\n      }}\n"
    )
}
