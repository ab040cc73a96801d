//! A service on a port of its own, a store that counts and can be away, a client, and a worker without a mind.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::api::worker::{CommitAnswer, ItemResult, SessionOpened, TurnWork, Work};
use crate::api::{Name, Partition, RunKey, SessionId, TimeMs, Version};
use crate::machine::commit::AttemptClaim;
use crate::queue::metered::around_store;
use crate::queue::{Config, run};
use crate::store::embedded::EmbeddedStore;
use crate::store::{Store, StoreError, op};

/// A store that counts its operations, and that can be away.
pub struct Probe {
    inner: Arc<dyn Store>,
    counts: Mutex<BTreeMap<&'static str, u32>>,
    pub away: AtomicBool,
    /// Operations of this name are carried out, and their answer is lost.
    pub deaf_to: Mutex<Option<&'static str>>,
    /// The next operation of this name panics.
    pub panics_at: Mutex<Option<&'static str>>,
}

impl Probe {
    pub fn new(partitions: u16) -> Arc<Self> {
        let inner = Arc::new(EmbeddedStore::memory(partitions).unwrap());
        Arc::new(Self {
            inner,
            counts: Mutex::default(),
            away: AtomicBool::new(false),
            deaf_to: Mutex::default(),
            panics_at: Mutex::default(),
        })
    }

    async fn around<T>(&self, operation: &'static str, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let unavailable = || Err(StoreError::Unavailable { operation, detail: "the test says so".into() });
        if self.away.load(Ordering::SeqCst) {
            return unavailable();
        }
        let panics = self.panics_at.lock().unwrap().take_if(|panics| *panics == operation).is_some();
        assert!(!panics, "the test wants a panic");
        *self.counts.lock().unwrap().entry(operation).or_default() += 1;
        let answer = call.await;
        let deaf = self.deaf_to.lock().unwrap().take_if(|deaf| *deaf == operation).is_some();
        if deaf { unavailable() } else { answer }
    }

    /// Operations so far that move runs or ask for work; the loops' own are left out.
    pub fn counts(&self) -> BTreeMap<&'static str, u32> {
        let background = ["now", "fire", "expired_sessions", "sweep", "renew_session", "draining"];
        self.counts.lock().unwrap().iter().filter(|(name, _)| !background.contains(name)).map(|(name, n)| (*name, *n)).collect()
    }
}

around_store!(Probe);

/// What the service reads of the workflow; the turns are the test's own.
const SOURCE: &str = "import { signal } from \"everloop\";\nexport default async () => signal(\"go\");\n";

/// A replica of the service.
pub struct Server {
    pub url: String,
    pub store: Arc<Probe>,
    pub shutdown: CancellationToken,
    pub ended: Option<tokio::task::JoinHandle<Result<(), crate::queue::Error>>>,
    pub http: reqwest::Client,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Quick enough for tests, slow enough for a busy machine.
pub fn config() -> Config {
    Config { drain: Duration::from_secs(5), session_grace: Duration::from_millis(100), ..Config::default() }
}

pub async fn server() -> Server {
    serve(Probe::new(4), config()).await
}

pub async fn serve(store: Arc<Probe>, config: Config) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let ended = Some(tokio::spawn(run(listener, store.clone(), config, shutdown.clone())));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    Server { url, store, shutdown, ended, http }
}

pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    /// The body to the letter.
    pub text: String,
}

impl Server {
    pub fn get(&self, path: &str) -> impl Future<Output = Answer> + use<> {
        answer(self.http.get(format!("{}{path}", self.url)))
    }

    pub fn put(&self, path: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
        answer(self.http.put(format!("{}{path}", self.url)).json(body))
    }

    pub fn post(&self, path: &str, body: &Value) -> impl Future<Output = Answer> + use<> {
        answer(self.http.post(format!("{}{path}", self.url)).json(body))
    }

    /// A request as any client may send it.
    pub async fn send(&self, method: &str, path: &str, key: &str, body: &Value) -> Answer {
        let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        answer(self.http.request(method, format!("{}{path}", self.url)).header("idempotency-key", key).json(body)).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: &Value) -> Answer {
        answer(self.http.post(format!("{}{path}", self.url)).header("idempotency-key", key).json(body)).await
    }

    /// Applies workflow `w`: activity `work` is run by the pool, `task` by queue `tasks`.
    pub async fn apply(&self) -> Value {
        let activities = json!({
            "work": {"script": "export default () => 1"},
            "task": {"queue": "tasks", "timeout": "5s", "retry": {"initial": "1ms"}},
            "late": {"script": "export default () => 1", "timeout": "50ms", "retry": {"maxAttempts": 1}},
            "unbegun": {"queue": "nobody", "timeouts": {"scheduleToStart": "50ms"}},
        });
        let definition = json!({"source": SOURCE, "activities": activities});
        let body = json!({"name": "w", "pool": "default", "definition": definition});
        let applied = self.put("/v1/namespaces/default/workflows/w", &body).await;
        assert_eq!(applied.status, 200, "{}", applied.body);
        applied.body
    }

    pub async fn start(&self, id: &str) -> Answer {
        self.post("/v1/namespaces/default/runs", &json!({"workflow": "w", "id": id, "input": {"n": 1}})).await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.clone()));
    Answer { status, headers, body, text }
}

/// A worker that does what the test says.
pub struct Worker<'a> {
    pub server: &'a Server,
    pub session: String,
    seq: AtomicU64,
}

impl<'a> Worker<'a> {
    pub async fn open(server: &'a Server) -> Self {
        let opened = server.post("/v1/worker/session", &json!({"worker": "tester", "pool": "default"})).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        let opened: SessionOpened = serde_json::from_value(opened.body).unwrap();
        Self { server, session: opened.session.to_string(), seq: AtomicU64::new(1) }
    }

    pub fn seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::SeqCst)
    }

    pub async fn poll_as(&self, seq: u64, again: bool, wait_ms: u64) -> Answer {
        let poll = json!({"session": self.session, "seq": seq, "again": again, "turns": 4, "activities": 4, "waitMs": wait_ms});
        self.server.post("/v1/worker/poll", &poll).await
    }

    /// Polls until there is something.
    pub async fn poll(&self) -> Work {
        let answer = self.poll_as(self.seq(), false, 20_000).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let work: Work = serde_json::from_str(&answer.text).unwrap();
        assert!(!work.turns.is_empty() || !work.activities.is_empty(), "nothing came");
        work
    }

    pub async fn turn(&self) -> TurnWork {
        self.poll().await.turns.remove(0)
    }

    pub async fn commit(&self, items: Value) -> CommitAnswer {
        self.commit_as(self.seq(), items).await
    }

    pub async fn commit_as(&self, seq: u64, items: Value) -> CommitAnswer {
        let request = json!({"session": self.session, "seq": seq, "worker": "tester", "items": items});
        let answer = self.server.post("/v1/worker/commit", &request).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// Takes a turn with these commands (without their numbers), and offers a slot of each kind.
    pub async fn take(&self, work: &TurnWork, commands: Value) -> CommitAnswer {
        self.commit(json!([turn_item(work, commands)])).await
    }

    /// Takes a turn and offers nothing: what follows comes with a poll.
    pub async fn took_quietly(&self, work: &TurnWork, commands: Value) {
        let mut item = turn_item(work, commands);
        item["Turn"]["offer"] = json!({});
        assert_eq!(self.commit(json!([item])).await.results, [ItemResult::Accepted]);
    }

    /// Takes a turn, which must be accepted.
    pub async fn took(&self, work: &TurnWork, commands: Value) -> CommitAnswer {
        let answer = self.take(work, commands).await;
        assert_eq!(answer.results, [ItemResult::Accepted]);
        answer
    }
}

pub fn turn_item(work: &TurnWork, commands: Value) -> Value {
    let turn = turn_json(work, commands, work.events.len());
    json!({"Turn": {"run": work.run, "seq": work.seq, "turn": turn, "offer": {"turns": 1, "activities": 1}}})
}

/// A turn as the worker commits it: the commands get their numbers.
pub fn turn_json(work: &TurnWork, mut commands: Value, consumed: usize) -> Value {
    let list = commands.as_array_mut().unwrap();
    for (command, n) in list.iter_mut().zip(work.next_command..) {
        for body in command.as_object_mut().unwrap().values_mut() {
            body["n"] = json!(n);
        }
    }
    let next = work.next_command as usize + list.len();
    let birth = (work.number == 0)
        .then(|| json!({"uid": work.uid, "workflow": work.workflow, "version": work.version, "engine": "test", "flags": []}));
    let mut turn = json!({
        "base": work.head, "id": head(), "number": work.number, "version": work.version,
        "at": work.at.max(work.started_at),
        "consumed": consumed, "nextCommand": next, "commands": commands,
    });
    if let Some(birth) = birth {
        turn["birth"] = birth;
    }
    turn
}

pub fn head() -> String {
    format!("{:016x}", rand::random::<u64>())
}

pub fn schedule(name: &str) -> Value {
    json!({"ScheduleActivity": {"name": name, "argument": {"z": 1}, "at": "1:1"}})
}

pub fn complete(result: &Value) -> Value {
    json!({"Complete": {"result": result}})
}

pub fn sleep(duration: &str) -> Value {
    json!({"StartTimer": {"name": "sleep", "duration": duration, "at": "1:1"}})
}
