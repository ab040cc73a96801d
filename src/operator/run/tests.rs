//! The order of steps that makes a start that no crash repeats, as a table.

use serde_json::{Value, json};

use super::plan::{FINALIZER, Step, plan, refused};
use crate::api::{Code, Problem};
use crate::crd::resources::WorkflowRun;

const NOW: &str = "2026-01-01T00:00:00Z";

fn run(metadata: Value, spec: Value, status: Value) -> WorkflowRun {
    let mut object = json!({"apiVersion": "everloop.dev/v1alpha1", "kind": "WorkflowRun", "spec": {"workflow": "flow"}, "status": status});
    object["metadata"] =
        json!({"name": "r", "namespace": "shop", "uid": "01234567-89ab", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"});
    for (place, more) in [("metadata", metadata), ("spec", spec)] {
        object[place].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    serde_json::from_value(object).unwrap()
}

#[test]
fn each_step_waits_for_the_one_before() {
    let held = || json!({"finalizers": ["theirs", FINALIZER]});
    let deleted = || json!({"finalizers": ["theirs", FINALIZER], "deletionTimestamp": "2026-01-01T00:00:00Z"});
    let (id, accepted) = (json!({"runId": "r-01234567"}), json!({"runId": "r-01234567", "acceptedAt": "2026-01-01T00:00:00Z"}));
    let closed = json!({"runId": "r-01234567", "acceptedAt": "2026-01-01T00:00:00Z", "closedAt": "2026-01-01T00:00:00Z"});
    let step = |metadata: Value, spec: Value, status: &Value| plan(&run(metadata, spec, status.clone()), NOW);
    let none = json!({});
    assert_eq!(step(none.clone(), none.clone(), &none), Step::Finalizers(vec![FINALIZER.into()]));
    let Step::Write(next) = step(held(), none.clone(), &none) else { panic!("the id is written before the start") };
    assert_eq!((next.run_id.as_deref(), next.accepted_at), (Some("r-01234567"), None));
    let Step::Start(planned) = step(held(), json!({"inputJSON": "[1.0]"}), &id) else { panic!("then it starts under that id") };
    assert_eq!((planned.start.id.unwrap().as_str(), planned.start.input.get()), ("r-01234567", "[1.0]"));
    assert!(matches!(step(held(), none.clone(), &accepted), Step::Look { cancel: false, .. }), "never started again");
    assert!(matches!(step(held(), json!({"cancel": true}), &accepted), Step::Look { cancel: true, .. }));
    assert!(matches!(step(held(), json!({"suspend": true}), &accepted), Step::Look { suspend: Some(true), .. }));
    assert_eq!(step(held(), none.clone(), &closed), Step::Finalizers(vec!["theirs".into()]));
    assert_eq!(step(none.clone(), none.clone(), &closed), Step::Nothing);
    let ttl = |seconds: u32| step(none.clone(), json!({"ttlSecondsAfterFinished": seconds}), &closed);
    assert_eq!(ttl(60), Step::Expire(std::time::Duration::from_mins(1)));
    assert_eq!(ttl(0), Step::Expire(std::time::Duration::ZERO));
    // Deleted: an id may stand for a start that was sent and not acknowledged.
    assert!(matches!(step(deleted(), none.clone(), &id), Step::Cancel { .. }));
    assert!(matches!(step(deleted(), none.clone(), &accepted), Step::Cancel { .. }));
    for (spec, status) in [(none.clone(), &none), (none.clone(), &closed), (json!({"runId": "r-01234567"}), &accepted)] {
        assert_eq!(step(deleted(), spec, status), Step::Finalizers(vec!["theirs".into()]), "{status}");
    }
}

#[test]
fn an_input_that_is_no_json_stalls_and_is_said_once() {
    let broken = run(json!({"finalizers": [FINALIZER]}), json!({"inputJSON": "{"}), json!({"runId": "r-01234567"}));
    let Step::Write(next) = plan(&broken, NOW) else { panic!("it is said") };
    assert!(next.conditions.get("Stalled").unwrap().message.contains("`spec.inputJSON` is no JSON"), "{next:?}");
    let said = WorkflowRun { status: Some(*next), ..broken };
    assert_eq!(plan(&said, "2026-02-02T00:00:00Z"), Step::Nothing);
}

#[test]
fn a_run_that_was_accepted_and_is_unknown_is_not_started_again() {
    let accepted = run(json!({"finalizers": [FINALIZER]}), json!({}), json!({"runId": "x", "acceptedAt": "2026-01-01T00:00:00Z"}));
    let (next, look_again) = refused(&accepted, &Problem::new(Code::RunNotFound, "no run x"), "2026-01-02T00:00:00Z");
    assert!(next.conditions.get("Stalled").unwrap().message.contains("not started again"), "{next:?}");
    assert_eq!((next.accepted_at, look_again), (accepted.status.unwrap().accepted_at, None));
}
