//! `WorkerPool`: the pods that run workflows.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;
use super::status::{Conditions, HasConditions};

/// Worker pods of one kind.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "everloop.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    shortname = "elp",
    category = "everloop",
    doc = "Worker pods of one kind.",
    validation = Rule::new("self.metadata.name.size() <= 46 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name must be a DNS label of at most 46 characters: its pods are named for it"),
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.replicas", label_selector_path = ".status.selector"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Busy", type_ = "integer", json_path = ".status.busy"),
    printcolumn(name = "Backlog", type_ = "integer", json_path = ".status.backlog"),
    printcolumn(name = "Oldest", type_ = "string", json_path = ".status.oldest"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Wanted", type_ = "integer", priority = 1, json_path = ".status.wantedReplicas"),
    printcolumn(name = "Reason", type_ = "string", priority = 1, json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolSpec {
    /// Who decides how many pods there are.
    #[serde(default)]
    pub scaling: Scaling,
    /// So many pods; the only number, for `Fixed` and `External`.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1_000))]
    pub replicas: i32,
    /// How much one pod takes on.
    #[serde(default)]
    pub slots: Slots,
    /// The image of the pods; absent: the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// What the container asks for and may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_object")]
    pub resources: Option<Value>,
    /// Where the pods may run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// More of the pods: metadata and spec of a pod template, laid over the operator's own as a strategic merge. It may not weaken the
    /// pods' security, and not change what the operator needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pod_template")]
    pub template: Option<Value>,
    /// Of the pools in the installation's namespace: whose workflows may name them.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// From SIGTERM to the end of a pod, in seconds.
    #[serde(default = "sixty")]
    #[schemars(range(min = 5, max = 86_400))]
    pub termination_grace_period_seconds: i64,
}

fn one() -> i32 {
    1
}

fn sixty() -> i64 {
    60
}

/// Who decides how many pods there are, and within what bounds. The bounds are for `Auto` and `External`, and each may be left out.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max").message("`min` is above `max`: no number of pods is both"),
    validation = Rule::new("(has(self.mode) && self.mode != 'Fixed') || !(has(self.min) || has(self.max) || has(self.target) || has(self.fallWindow) || has(self.zeroWindow) || has(self.riseMax) || has(self.fallMax))")
        .message("bounds are for `mode: Auto` and `External`; for `Fixed` `spec.replicas` is the only number")
)]
#[serde(rename_all = "camelCase")]
pub struct Scaling {
    /// See [`Mode`].
    #[serde(default)]
    pub mode: Mode,
    /// Fewest pods; absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000))]
    pub min: Option<u32>,
    /// Most pods; absent: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max: Option<u32>,
    /// How old what waits may get; absent: 5s, or the time that a pod needs to start when that is longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub target: Option<String>,
    /// How long fewer pods must have sufficed before the number falls; absent: 12 times what a pod needs to start, within 1 to 5 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub fall_window: Option<String>,
    /// How long nothing must have been to do before the last pod goes; absent: 20 times what a pod needs to start, within 1 to 5 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub zero_window: Option<String>,
    /// Pods that may be added within 15 seconds; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub rise_max: Option<u32>,
    /// Pods that may be taken away within 15 seconds; absent: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub fall_max: Option<u32>,
}

/// Who decides the number of pods.
#[derive(schemars::JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Whoever writes `spec.replicas`.
    #[default]
    Fixed,
    /// Another program, by `spec.replicas` through `/scale`. How many pods the work wants is published: `status.wantedReplicas`.
    External,
    /// The work that there is: `spec.replicas` says nothing.
    Auto,
}

/// Namespaces whose workflows may name a pool.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.matchLabels) == (has(self.from) && self.from == 'Selector')").message("give `matchLabels` with `from: Selector`, and only then"))]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// See [`From`].
    #[serde(default)]
    pub from: From,
    /// Labels that a namespace must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub match_labels: BTreeMap<String, String>,
}

/// Which namespaces.
#[derive(schemars::JsonSchema, Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// The pool's own.
    #[default]
    Same,
    /// Every one.
    All,
    /// Those with the labels `matchLabels`.
    Selector,
}

/// How much one pod takes on.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// Event loops.
    #[serde(default = "one_loop")]
    #[schemars(range(min = 1, max = 64))]
    pub loops: u16,
    /// Turns at a time, for each event loop.
    #[serde(default = "turns")]
    #[schemars(range(min = 1, max = 4_096))]
    pub turns: u16,
    /// Activities at a time.
    #[serde(default = "activities")]
    #[schemars(range(min = 1, max = 4_096))]
    pub activities: u16,
}

fn one_loop() -> u16 {
    1
}

fn turns() -> u16 {
    256
}

fn activities() -> u16 {
    512
}

impl Default for Slots {
    fn default() -> Self {
        Self { loops: one_loop(), turns: turns(), activities: activities() }
    }
}

/// How the pool is.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The generation that the conditions speak of; -1: not looked at yet.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`: as many pods as wanted are ready. `Reconciling`: on the way. `Stalled`: it needs a person.
    #[serde(default)]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Conditions,
    /// Pods that there are.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Which pods, for `/scale`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub selector: String,
    /// Pods that there are to be: of `Auto` as many as the work wants, else `spec.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Pods that finish what they have and then go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<i32>,
    /// With `Auto` and `External`: pods that the work wants, within the bounds; held while that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_replicas: Option<i32>,
    /// With `Auto` and `External`: turns and activities that are leased; a few seconds old, as all of these numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<i64>,
    /// With `Auto` and `External`: turns and activities that wait for a slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backlog: Option<i64>,
    /// With `Auto` and `External`: how long the first of them has waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub oldest: Option<String>,
    /// With `Auto` and `External`: why the work wants so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_024))]
    pub scaling_reason: Option<String>,
    /// With `Auto` and `External`: the last ten changes of `wantedReplicas`, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = DECISIONS_MAX))]
    pub decisions: Vec<ScalingDecision>,
}

/// Of one pool in its status.
pub const DECISIONS_MAX: usize = 10;

/// A change of the number of pods that the work wants.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScalingDecision {
    /// When, RFC 3339.
    #[schemars(length(max = 32))]
    pub at: String,
    /// The number before.
    pub from: i64,
    /// The number since then.
    pub to: i64,
    /// Why.
    #[schemars(length(max = 1_024))]
    pub reason: String,
}

impl HasConditions for WorkerPoolStatus {
    fn conditions(&self) -> &Conditions {
        &self.conditions
    }
}
