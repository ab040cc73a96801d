//! Requests and answers of the routes for people and programs. The routes are listed in `docs/protocol.md`.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::error::Problem;
use super::ids::{Attempt, Name, Origin, RunId, Version};
use super::journal::Entry;
use super::json::Json;
use super::run::RunView;
use super::signals::Signals;
use super::time::{DurationMs, TimeMs};

/// Answer of `PUT /v1/namespaces/{ns}/workflows/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The workflow.
    pub name: Name,
    /// What new runs get.
    pub version: Version,
    /// The pool that runs it.
    pub pool: Name,
    /// Nothing is different from before.
    pub unchanged: bool,
}

/// One workflow, as `GET .../workflows` and `GET .../workflows/{name}` tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowView {
    /// Its name.
    pub name: Name,
    /// The current version.
    pub version: Version,
    /// The pool that runs it.
    pub pool: Name,
    /// How long closed runs are kept.
    pub retention: DurationMs,
    /// When the current version was applied, or retired.
    pub defined_at: TimeMs,
    /// Who holds it: only that one changes it. Absent: people, by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Origin>,
    /// It takes no new runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retired: bool,
    /// The definition. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Definition>,
}

/// Answer of `GET .../workflows`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Workflows {
    /// By name.
    pub workflows: Vec<WorkflowView>,
}

/// Answer of `GET /v1/operator/held`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Held {
    /// The workflows of all namespaces that somebody else than people holds.
    pub workflows: Vec<HeldWorkflow>,
}

/// A workflow that somebody else than people holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HeldWorkflow {
    /// Where.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// Who holds it.
    pub holder: Origin,
}

/// Answer of `GET /v1/pools?seen=&wait=`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pools {
    /// The mark of these numbers, for the next request.
    pub seen: String,
    /// The pools that have something to do, or ever ran something, by name. Of another one nothing waits.
    pub pools: Vec<PoolLoad>,
}

/// What one pool has to do: answer of `GET /v1/pools/{pool}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolLoad {
    /// Its name.
    pub pool: Name,
    /// What waits, is leased and falls due.
    #[serde(flatten)]
    pub signals: Signals,
}

/// Answer of `GET /v1/operator/open-runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenRuns {
    /// The versions of all namespaces that have open runs.
    pub versions: Vec<OpenVersion>,
}

/// A version that has open runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OpenVersion {
    /// Where.
    pub namespace: Name,
    /// The workflow.
    pub workflow: Name,
    /// The version that the runs are on.
    pub version: Version,
    /// How many, at least 1.
    pub runs: u64,
}

/// Answer of `GET /v1/operator/followed?cursor=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Followed {
    /// Open runs with an origin, of all namespaces.
    pub runs: Vec<FollowedRun>,
    /// For the next page; empty when this is the last.
    pub cursor: String,
}

/// An open run that somebody follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FollowedRun {
    /// Where.
    pub namespace: Name,
    /// Its id.
    pub id: RunId,
    /// Where it comes from.
    pub origin: Origin,
}

/// Body of `POST /v1/namespaces/{ns}/runs`. `?wait=30s` waits for the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// The workflow.
    pub workflow: Name,
    /// The run's id; absent: made from the `Idempotency-Key`, or anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RunId>,
    /// The input; absent: `null`.
    #[serde(default)]
    pub input: Json,
    /// Who follows the run: its changes are in the feed of `GET /v1/changes`. An equal run that nobody follows gets it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Answer of `GET /v1/changes?cursor=&wait=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Changes {
    /// For the next request.
    pub cursor: String,
    /// Runs with an origin that have ended, were blocked or go on since the cursor: each once, as it is now.
    pub changes: Vec<Change>,
}

/// One run that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Change {
    /// The namespace.
    pub namespace: Name,
    /// The run.
    pub id: RunId,
    /// How it is, with its result, without input and activities; absent: it was removed after its retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunView>,
}

/// Answer of `GET .../runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Runs {
    /// Newest first.
    pub runs: Vec<RunView>,
    /// For `?cursor=` of the next page; empty on the last.
    #[serde(default)]
    pub cursor: String,
}

/// Answer of `GET .../runs/{id}/journal?from=N`. With `?wait=` it waits until there is an entry at `from`, or the run has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// Whose journal it is: another uid is another journal.
    pub uid: String,
    /// The run's head when it was read.
    pub head: String,
    /// How many entries there are in all.
    pub turns: u32,
    /// From `from` on, as many as fit into a page, at least one when there is one.
    pub entries: Vec<Entry>,
}

/// Body of `POST .../runs/{id}/pause`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
    /// Who holds the run; absent: people, who share one hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Name>,
}

/// Body of `POST .../runs/{id}/cancel` and `.../terminate`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// Body of `POST .../runs/{id}/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// `current` (the workflow's current version), a version, or absent: `current` for a run that its source blocked
    /// (`Nondeterminism`, `BrokenSource`), else the version that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who lets go. With it only this hold ends, and a run that is blocked for another reason stays so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Name>,
}

/// Body of `POST /v1/namespaces/{ns}/queues/{queue}/poll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PollQueue {
    /// Tasks wanted, 1 to 100; default 1.
    #[serde(default = "one")]
    pub max: u16,
    /// How long to wait for the first, up to 60s; default 20s.
    #[serde(default = "twenty_seconds")]
    pub wait: DurationMs,
}

fn one() -> u16 {
    1
}

fn twenty_seconds() -> DurationMs {
    DurationMs::from_secs(20)
}

/// Answer of a poll of an external queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tasks {
    /// Perhaps none.
    pub tasks: Vec<Task>,
}

/// An attempt at an activity of kind `queue`, leased to the program that polled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// For `/v1/activities/{token}/complete`, `/fail` and `/heartbeat`.
    pub token: String,
    /// The activity's name.
    pub name: String,
    /// Its argument.
    pub argument: Json,
    /// From 1.
    pub attempt: Attempt,
    /// Equal over all attempts.
    pub idempotency_key: String,
    /// The run's id.
    pub run: RunId,
    /// The workflow.
    pub workflow: Name,
    /// The lease ends then, unless a heartbeat moves it.
    pub deadline: TimeMs,
}

/// Body of `POST /v1/activities/{token}/fail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FailTask {
    /// The error's type: `retry.nonRetryable` names types.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened.
    pub message: String,
    /// Anything more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Json>,
    /// Whether another attempt may help; default true.
    #[serde(default = "yes")]
    pub retryable: bool,
}

fn yes() -> bool {
    true
}

/// Body of `POST /v1/activities/settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleTasks {
    /// 1 to 256, of any runs.
    pub tasks: Vec<SettleTask>,
}

/// What one task came to: a result, or an error; with neither its result is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleTask {
    /// The task's.
    pub token: String,
    /// What it returned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FailTask>,
}

/// Answer of `POST /v1/activities/settle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SettledTasks {
    /// For each task, in the order of the request.
    pub tasks: Vec<SettledTask>,
}

/// What became of a task's outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SettledTask {
    /// It counts, now or since before.
    pub settled: bool,
    /// Why not; with `StoreUnavailable` it is unknown, and may be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Box<Problem>>,
}

/// Answer of `POST /v1/activities/{token}/heartbeat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Extended {
    /// The lease ends then, unless another heartbeat moves it.
    pub deadline: TimeMs,
}

/// Answer of `POST .../runs/{id}/signals/{name}` and `.../cancel`: it stands in the mailbox and survives from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Accepted {
    /// It did before: the same `Idempotency-Key` came a second time.
    #[serde(default)]
    pub repeat: bool,
}

/// Who is there, as `GET /v1/workers` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Workers {
    /// By session.
    pub workers: Vec<WorkerView>,
}

/// A worker's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WorkerView {
    /// Its id: the worker's name, its pool and something random.
    pub session: String,
    /// The pool that it works for. Absent: the service is of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Name>,
    /// Turns and attempts that are leased to it.
    pub leases: u64,
    /// The turns of them.
    #[serde(default)]
    pub turns: u64,
    /// The attempts of them.
    #[serde(default)]
    pub activities: u64,
    /// It is to finish what it has: nothing new is granted to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}

/// Body of `PUT /v1/workers/{id}/drain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// For so long, unless it is asked again; up to 60s.
    pub ttl: DurationMs,
}

/// Answer of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Draining {
    /// The worker works on from then on.
    pub until: TimeMs,
}

/// The header that says for which store a request is: `GET /readyz` tells its id. A request for another one is refused.
pub const STORE_HEADER: &str = "everloop-store";
/// The header that says in which term of an operator a request is made. When a higher one was given it is refused.
pub const TERM_HEADER: &str = "everloop-term";

/// Answer of `POST /v1/operator/term`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Term {
    /// Higher than all before.
    pub term: u64,
}

/// Answer of `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ready {
    /// It takes requests.
    pub ready: bool,
    /// What it waits for; empty when ready.
    #[serde(default)]
    pub reason: String,
    /// `strict`, `everysec` or `none`.
    pub durability: String,
    /// What the store is.
    pub store: String,
    /// The store's id.
    pub store_id: String,
    /// The store's partitions.
    pub partitions: u16,
    /// The program's version.
    pub version: String,
}
