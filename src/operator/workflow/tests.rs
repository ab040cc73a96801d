//! What is decided, as tables.

use std::time::Duration;

use serde_json::{Value, json};

use super::plan::{Found, FoundPool, Verdict, plan, status};
use crate::api::Name;
use crate::crd::resources::Workflow;

const NOW: &str = "2026-01-01T00:00:00Z";

fn workflow(spec: Value) -> Workflow {
    let metadata = json!({"name": "flow", "namespace": "shop", "generation": 3});
    serde_json::from_value(json!({"apiVersion": "everloop.dev/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec})).unwrap()
}

fn installation() -> Name {
    "everloop".parse().unwrap()
}

fn found(pool: FoundPool) -> Found {
    Found { age: Duration::from_mins(1), pool, ..Found::default() }
}

fn nothing() -> Found {
    found(FoundPool::None { there_are: vec!["other".to_owned()] })
}

const GOOD: &str = "export default async () => 1;";

#[test]
fn a_pool_is_one_of_the_namespace_or_else_of_the_installation() {
    let pool = |pool: FoundPool| {
        let planned = plan(&workflow(json!({"source": {"inline": GOOD}})), &found(pool), &installation()).unwrap();
        (planned.workflow.pool.to_string(), planned.pool_missing.is_some())
    };
    assert_eq!(pool(FoundPool::Shared { unheard: false }), ("default".into(), false));
    assert_eq!(pool(FoundPool::None { there_are: Vec::new() }), ("default".into(), true));
    let (own, missing) = pool(FoundPool::Own);
    assert!(own.starts_with("default-") && own.len() == "default-".len() + 8 && !missing, "{own}");
    assert_eq!(pool(FoundPool::NotAllowed), (own, true), "a pool that is not for it does not get its runs");
}

/// Who may use a shared pool can change by what nobody tells: the labels of a namespace, a pool in a namespace that is watched by itself.
#[test]
fn a_shared_pool_is_looked_at_again_where_its_change_is_not_told() {
    let look_again = |pool: FoundPool| {
        let planned = plan(&workflow(json!({"source": {"inline": GOOD}})), &found(pool), &installation()).unwrap();
        Verdict::applied("a".repeat(64).parse().unwrap(), planned).look_again
    };
    assert_eq!(look_again(FoundPool::Shared { unheard: true }), Some(Duration::from_mins(1)));
    assert_eq!(look_again(FoundPool::Shared { unheard: false }), None);
    assert_eq!(look_again(FoundPool::Own), None);
    assert_eq!(look_again(FoundPool::NotAllowed), Some(Duration::from_secs(10)));
}

#[test]
fn whatever_is_wrong_has_its_reason_and_says_what_to_do() {
    let activity = |activity: Value| json!({"source": {"inline": GOOD}, "activities": {"pay": activity}});
    let table = [
        (json!({"source": {}}), "InvalidSpec", "exactly one"),
        (json!({"source": {"inline": GOOD}, "retention": "soon"}), "InvalidSpec", "`spec.retention`"),
        (json!({"source": {"inline": GOOD}, "pool": "G P U"}), "InvalidSpec", "1 to 63 characters"),
        (activity(json!({})), "InvalidSpec", "has no kind; give it one of"),
        (activity(json!({"http": {"url": "http://x/"}, "timeout": "soon"})), "InvalidSpec", "`spec.activities.pay`"),
        (activity(json!({"script": "x", "retry": {"initial": "1m", "max": "1s"}})), "InvalidSpec", "is shorter than `initial`"),
        (json!({"source": {"configMapKeyRef": {"name": "code", "key": "a.js"}}}), "ConfigMapNotFound", "\"code\" does not exist"),
    ];
    for (spec, reason, words) in table {
        let verdict = plan(&workflow(spec.clone()), &nothing(), &installation()).unwrap_err();
        assert_eq!(verdict.reason.as_str(), reason, "{spec}");
        assert!(verdict.message.contains(words), "{spec}: {}", verdict.message);
        let next = status(&workflow(spec), &verdict, None, NOW);
        assert!(next.conditions.is_true("Stalled") && !next.conditions.is_true("Ready"));
        assert_eq!(next.observed_generation, 3);
    }
}

#[test]
fn what_is_missing_is_on_its_way_for_half_a_minute() {
    let flow = workflow(json!({"source": {"configMapKeyRef": {"name": "code", "key": "a.js"}}}));
    for (age, stalled) in [(0, false), (29, false), (30, true)] {
        let found = Found { age: Duration::from_secs(age), ..nothing() };
        let verdict = plan(&flow, &found, &installation()).unwrap_err();
        let next = status(&flow, &verdict, None, NOW);
        assert_eq!((next.conditions.is_true("Stalled"), next.conditions.is_true("Reconciling")), (stalled, !stalled), "{age} s");
        assert!(verdict.look_again.is_some(), "it may come without telling");
    }
}

/// An equal verdict is an equal status, whenever it is given: nothing is written.
#[test]
fn a_time_changes_with_its_status_only() {
    let mut flow = workflow(json!({"source": {"inline": GOOD}}));
    let applied = |version: &str| Verdict::ready(version.repeat(64).parse().unwrap());
    flow.status = Some(status(&flow, &applied("a"), None, NOW));
    assert_eq!(Some(status(&flow, &applied("a"), None, "2026-02-02T00:00:00Z")), flow.status);
    let next = status(&flow, &applied("b"), None, "2026-02-02T00:00:00Z");
    assert_eq!(
        (next.version_short.as_deref(), next.conditions.get("Ready").unwrap().last_transition_time.as_str()),
        (Some("bbbbbbbb"), NOW)
    );
}
