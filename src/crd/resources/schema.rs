//! Schemas that no derive gives: bounds, and the rules of activities.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON, JSONSchemaProps};
use schemars::{JsonSchema as _, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::status::Condition;
use crate::api::limits::ACTIVITIES_MAX;

/// A DNS label.
const NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// What `api::DurationMs` reads, with a unit.
const DURATION: &str = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$";

pub(super) fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 63, "pattern": NAME})
}

pub(super) fn run_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"})
}

pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    Schema::try_from(a_duration()).expect("an object")
}

fn a_duration() -> Value {
    json!({"type": "string", "minLength": 2, "maxLength": 32, "pattern": DURATION, "description": "A number with a unit (ms, s, m, h, d), such as 250ms or 1h30m."})
}

/// Any object: rules see it only as a whole.
pub(super) fn input(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

pub(super) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

pub(super) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "properties": {
        "metadata": {"type": "object", "properties": {
            "labels": {"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 63}},
            "annotations": {"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 4096}},
        }},
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "description": "As `spec` of a pod."},
    }})
}

pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 253}})
}

pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = Condition::json_schema(generator);
    json_schema!({
        "type": "array", "maxItems": 8, "items": item,
        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
    })
}

fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

fn texts(description: &str) -> Value {
    json!({"type": "object", "description": description, "maxProperties": 64, "additionalProperties": {"type": "string", "maxLength": 4096}})
}

/// The types of `api::definition`, with their bounds.
pub(super) fn activities(_: &mut SchemaGenerator) -> Schema {
    let http = json!({
        "type": "object", "required": ["url"],
        "description": "An HTTP request that the worker sends. 2xx is the value; 408, 425, 429 and 5xx are tried again.",
        "properties": {
            "method": {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]},
            "url": {"type": "string", "minLength": 8, "maxLength": 4096, "description": "`{field.of.argument}` is replaced by that part of the argument."},
            "headers": texts("Headers, with the same templates."),
            "query": texts("Added to the URL, with the same templates."),
            "body": {"type": "string", "enum": ["json", "text", "none"]},
        },
    });
    let timeouts = json!({
        "type": "object",
        "properties": {"scheduleToStart": a_duration(), "startToClose": a_duration(), "scheduleToClose": a_duration(), "heartbeat": a_duration()},
    });
    let retry = json!({
        "type": "object",
        "properties": {
            "maxAttempts": {"type": "integer", "format": "int32", "minimum": 1, "description": "The first included; absent: no bound."},
            "initial": a_duration(),
            "factor": {"type": "number", "minimum": 1, "maximum": 100},
            "max": a_duration(),
            "nonRetryable": {"type": "array", "maxItems": 64, "items": {"type": "string", "minLength": 1, "maxLength": 256}},
        },
    });
    let activity = json!({
        "type": "object",
        "properties": {
            "http": http,
            "script": {"type": "string", "minLength": 1, "maxLength": 131_072, "description": "A JavaScript module that the worker runs, with `fetch`."},
            "queue": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": NAME, "description": "A queue that a program polls over HTTP."},
            "timeout": a_duration(),
            "timeouts": timeouts,
            "retry": retry,
        },
        "x-kubernetes-validations": [
            rule("[has(self.http), has(self.script), has(self.queue)].filter(given, given).size() == 1", "give exactly one of `http`, `script` and `queue`"),
            rule("!has(self.timeout) || !has(self.timeouts) || !has(self.timeouts.startToClose)", "`timeout` is short for `timeouts.startToClose`: give one of them"),
            rule("!has(self.http) || !has(self.timeouts) || !has(self.timeouts.heartbeat)", "`heartbeat` has no meaning for `http`: a request gives no sign of life"),
        ],
    });
    json_schema!({
        "type": "object", "maxProperties": ACTIVITIES_MAX, "additionalProperties": activity,
        "x-kubernetes-validations": [rule("self.all(name, name.size() <= 128)", "names of activities have at most 128 characters")],
    })
}

/// Nothing passes for seen before it was: an object without a status has observed generation -1.
pub(super) fn finished(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let unseen = JSON(json!({"observedGeneration": -1}));
    for version in &mut crd.spec.versions {
        let root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let Some(JSONSchemaProps { properties: Some(properties), .. }) = root else { continue };
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(unseen.clone());
        }
    }
    crd
}
