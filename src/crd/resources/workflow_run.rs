//! `WorkflowRun`: one run, started by an object and mirrored in it.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;
use super::status::{Conditions, HasConditions};
use crate::api::limits::RUN_ID_BYTES_MAX;

/// Of an input in an object, as JSON text: the API server's store is no place for more.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

/// One run of a workflow. Deleting the object cancels the run.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "everloop.dev",
    version = "v1alpha1",
    kind = "WorkflowRun",
    namespaced,
    status = "WorkflowRunStatus",
    derive = "PartialEq",
    shortname = "elr",
    category = "everloop",
    doc = "One run of a workflow. Deleting the object cancels the run.",
    // At the creation only: an object that is there must be able to go.
    validation = Rule::new("oldSelf.hasValue() || has(self.spec.runId) || self.metadata.name.size() <= 246").optional_old_self(true)
        .message("the name must have at most 246 characters: the run's id is made of it; give a shorter one, or `runId`"),
    printcolumn(name = "Workflow", type_ = "string", json_path = ".spec.workflow"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#, priority = 1),
    printcolumn(name = "Run", type_ = "string", json_path = ".status.runId", priority = 1),
    printcolumn(name = "Closed", type_ = "date", json_path = ".status.closedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(

    validation = Rule::new("self.workflow == oldSelf.workflow").message("`workflow` cannot be changed: create another WorkflowRun"),
    validation = Rule::new("has(self.input) == has(oldSelf.input) && (!has(self.input) || self.input == oldSelf.input)")
        .message("`input` cannot be changed: create another WorkflowRun"),
    validation = Rule::new("has(self.inputJSON) == has(oldSelf.inputJSON) && (!has(self.inputJSON) || self.inputJSON == oldSelf.inputJSON)")
        .message("`inputJSON` cannot be changed: create another WorkflowRun"),
    validation = Rule::new("has(self.runId) == has(oldSelf.runId) && (!has(self.runId) || self.runId == oldSelf.runId)")
        .message("`runId` cannot be changed: create another WorkflowRun"),
    validation = Rule::new("!has(self.input) || !has(self.inputJSON)").message("give `input` or `inputJSON`, not both"),
    validation = Rule::new("!oldSelf.cancel || self.cancel").message("a cancellation cannot be taken back")
)]
pub struct WorkflowRunSpec {
    /// A workflow of the same namespace.
    #[schemars(schema_with = "schema::name")]
    pub workflow: String,
    /// The input, when it is an object; up to 64 KiB as JSON text. Numbers keep the form that Kubernetes gives them; `inputJSON` keeps the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::input")]
    pub input: Option<Value>,
    /// The input as JSON text, of any type; up to 64 KiB.
    #[serde(default, rename = "inputJSON", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = INPUT_BYTES_MAX))]
    pub input_json: Option<String>,
    /// The run's id. With it the object attaches to an equal run that exists; without it each object is a new run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::run_id")]
    pub run_id: Option<String>,
    /// Asks the run to end: its function may clean up.
    #[serde(default)]
    pub cancel: bool,
    /// Holds the run: it takes no turn until this is taken back. Other holds of it are left alone.
    #[serde(default)]
    pub suspend: bool,
    /// The object is deleted so many seconds after its run has ended; absent: it stays. A tool that creates it again begins a new run, so give
    /// `runId` too where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<u32>,
}

/// What has become of the run.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRunStatus {
    /// The generation that the conditions speak of; -1: not looked at yet.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`: accepted. `Closed`: it has ended. `Succeeded`: with a result. `Stalled`: it cannot start.
    #[serde(default)]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Conditions,
    /// The run's id; stands here before the run is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = RUN_ID_BYTES_MAX))]
    pub run_id: Option<String>,
    /// When the queue service had taken it. From then on it is never started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub accepted_at: Option<String>,
    /// One word for people: `Pending`, `Running`, `Paused`, `Blocked`, `Completed`, `Failed`, `Cancelled`, `Terminated`, `TimedOut`,
    /// `ContinuedAsNew`, or `Stalled` when it cannot start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub phase: Option<String>,
    /// The version that it is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// The result as JSON text, up to 4 KiB of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub result: Option<String>,
    /// The result is longer; `everloop result` has all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub result_truncated: bool,
    /// Type and message of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub error: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub closed_at: Option<String>,
}

impl HasConditions for WorkflowRunStatus {
    fn conditions(&self) -> &Conditions {
        &self.conditions
    }
}
