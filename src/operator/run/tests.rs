//! The order of steps that makes a start that no crash repeats, as a table.

use serde_json::{Value, json};

use super::plan::{FINALIZER, Step, given_up, not_passed_on, plan, refused};
use crate::api::{Code, Problem};
use crate::client::ClientError;
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

/// It is in the status while it waits, and is told when it goes.
#[test]
fn a_deleted_object_waits_five_minutes_for_a_service_that_is_away() {
    let metadata = json!({"finalizers": [FINALIZER], "deletionTimestamp": "2026-01-01T10:00:00Z"});
    let away = ClientError::Unreachable { server: "http://queue".into(), detail: "connection refused".into() };
    let id = "r-01234567".parse().unwrap();
    let accepted = json!({"runId": "r-01234567", "acceptedAt": "2026-01-01T00:00:00Z"});
    for (now, goes) in [("10:00:00", false), ("10:04:59", false), ("10:05:00", true), ("11:00:00", true)] {
        let (run, now) = (run(metadata.clone(), json!({}), accepted.clone()), format!("2026-01-01T{now}Z"));
        let note = given_up(&run, &id, &away, &now);
        assert_eq!(note.is_some(), goes, "{now}");
        assert!(note.is_none_or(|note| note.contains("everloop cancel r-01234567") && note.contains("connection refused")));
    }
    let run = run(metadata, json!({}), accepted);
    let next = not_passed_on(&run, &away, "2026-01-01T10:00:00Z");
    let reconciling = next.conditions.get("Reconciling").unwrap();
    assert_eq!((reconciling.status.as_str(), reconciling.reason.as_str()), ("True", "QueueServiceAway"));
    assert!(reconciling.message.contains("five minutes after the deletion"), "{reconciling:?}");
    let refused = ClientError::Refused(Box::new(Problem::new(Code::MailboxFull, "10000 events are unread")));
    let next = not_passed_on(&run, &refused, "2026-01-01T10:00:00Z");
    let stalled = next.conditions.get("Stalled").unwrap();
    assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "MailboxFull"));
}

/// Things are applied together: a workflow may come a little later.
#[test]
fn a_workflow_that_is_missing_is_on_its_way_for_half_a_minute() {
    let object = run(json!({"finalizers": [FINALIZER]}), json!({}), json!({"runId": "r-01234567"}));
    let problem = Problem::new(Code::WorkflowNotFound, "no workflow flow");
    for (second, kind, phase) in [(0, "Reconciling", "Pending"), (29, "Reconciling", "Pending"), (30, "Stalled", "Stalled")] {
        let (next, look_again) = refused(&object, &problem, &format!("2026-01-01T00:00:{second:02}Z"));
        let condition = next.conditions.get(kind).unwrap();
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "WorkflowNotFound"), "{second} s");
        assert_eq!(next.phase.as_deref(), Some(phase), "{second} s");
        assert!(look_again.is_some(), "it may come without telling");
    }
}

#[test]
fn an_input_is_bounded_whichever_field_has_it() {
    // As JSON text it has that many bytes.
    let object = |bytes: usize| json!({"input": {"a": "x".repeat(bytes - r#"{"a":""}"#.len())}});
    let text = |bytes: usize| json!({"inputJSON": format!("\"{}\"", "é".repeat((bytes - 2) / 2))});
    let table = [
        (object(65_536), None),
        (object(65_537), Some("`spec.input` has 65537")),
        (text(65_536), None),
        (text(65_538), Some("`spec.inputJSON` has 65538")),
    ];
    for (spec, words) in table {
        let step = plan(&run(json!({"finalizers": [FINALIZER]}), spec, json!({"runId": "r-01234567"})), NOW);
        match (words, step) {
            (None, Step::Start(_)) => {}
            (Some(words), Step::Write(next)) => {
                let stalled = next.conditions.get("Stalled").unwrap();
                assert_eq!((stalled.status.as_str(), stalled.reason.as_str()), ("True", "InvalidSpec"));
                assert!([words, "ConfigMap", "HTTP"].iter().all(|words| stalled.message.contains(words)), "{}", stalled.message);
            }
            (words, step) => panic!("{words:?}: {step:?}"),
        }
    }
}

/// An object of a time when the API server took such a name says so, and can go.
#[test]
fn a_name_that_is_too_long_for_a_run_is_told() {
    let named = |bytes: usize| json!({"name": "n".repeat(bytes), "finalizers": [FINALIZER]});
    let Step::Write(next) = plan(&run(named(246), json!({}), json!({})), NOW) else { panic!("an id") };
    assert_eq!(next.run_id.map(|id| id.len()), Some(255));
    let Step::Write(next) = plan(&run(named(247), json!({}), json!({})), NOW) else { panic!("it is said") };
    assert_eq!((next.run_id, next.conditions.is_true("Stalled")), (None, true));
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
