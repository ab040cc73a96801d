//! `Workflow`: the code of a workflow and what it may call.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;
use super::status::{Conditions, HasConditions};

/// A workflow: an `async` function that runs durably, and the activities that it may call.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "everloop.dev",
    version = "v1alpha1",
    kind = "Workflow",
    namespaced,
    status = "WorkflowStatus",
    derive = "PartialEq",
    shortname = "elw",
    category = "everloop",
    doc = "A workflow: an async function that runs durably, and the activities that it may call.",
    validation = Rule::new("self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name must be a DNS label: at most 63 lower-case letters, digits and '-'"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.versionShort"),
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "Open", type_ = "integer", json_path = ".status.openRuns"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowSpec {
    /// Where the module is.
    pub source: Source,
    /// The pool whose workers run it.
    #[serde(default = "default_pool")]
    #[schemars(schema_with = "schema::name")]
    pub pool: String,
    /// What the module may call with `activity.<name>`.
    #[serde(default)]
    #[schemars(schema_with = "schema::activities")]
    pub activities: BTreeMap<String, Value>,
    /// How long closed runs are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub retention: Option<String>,
}

fn default_pool() -> String {
    crate::crd::POOL_DEFAULT.to_owned()
}

/// Exactly one place of a module.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(

    validation = Rule::new("has(self.inline) != has(self.configMapKeyRef)").message("give exactly one of `inline` and `configMapKeyRef`")
)]
pub struct Source {
    /// The module itself, JavaScript or TypeScript; up to 128 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 131_072))]
    pub inline: Option<String>,
    /// A key of a ConfigMap of the same namespace. A change of it is a new version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRef {
    /// The ConfigMap's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// What the operator has made of a workflow.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowStatus {
    /// The generation that the conditions speak of; -1: not looked at yet.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`: new runs start on `version`. `Reconciling`: on the way. `Stalled`: it needs a person.
    #[serde(default)]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Conditions,
    /// The version of which new runs are: the last good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version: Option<String>,
    /// Its first eight digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub version_short: Option<String>,
    /// How many runs are open, of all versions; a few seconds old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_runs: Option<i64>,
    /// The versions that have open runs, most first; at most 32 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = OPEN_VERSIONS_MAX))]
    pub open_versions: Vec<OpenVersion>,
}

/// Of one workflow in its status.
pub const OPEN_VERSIONS_MAX: usize = 32;

/// A version that has open runs.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenVersion {
    /// The version, 64 hexadecimal digits.
    #[schemars(length(max = 64))]
    pub version: String,
    /// How many runs of it are open.
    pub open_runs: i64,
}

impl HasConditions for WorkflowStatus {
    fn conditions(&self) -> &Conditions {
        &self.conditions
    }
}
