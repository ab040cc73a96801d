//! Tables: what is done next, for a fleet as it is.

use super::memory::Memory;
use super::*;
use crate::api::{DurationMs, TimeMs};

const LIMIT: DurationMs = DurationMs::from_secs(60);

/// `name stage [turns/activities] [draining] [goes]`.
fn pod(text: &str) -> Pod {
    let words: Vec<&str> = text.split_whitespace().collect();
    let stage = match words[1] {
        "unplaced" => Stage::Unplaced,
        "pending" => Stage::Pending,
        "unknown" => Stage::Unknown,
        "unready" => Stage::NotReady,
        "ready" => Stage::Ready,
        other => panic!("{other} is no stage"),
    };
    let work = words.iter().find_map(|word| word.split_once('/'));
    let worker = work.map_or(Worker::Absent, |(turns, activities)| {
        let number = |text: &str| text.parse().expect("a number");
        let draining = words.contains(&"draining");
        Worker::Known(Session { ids: vec![format!("s-{}", words[0])], turns: number(turns), activities: number(activities), draining })
    });
    Pod { name: words[0].to_owned(), stage, made: 0, cost: words.contains(&"goes").then_some(GOES), worker }
}

fn pods(texts: &[&str]) -> Vec<Pod> {
    texts.iter().map(|text| pod(text)).collect()
}

fn planned(pods: &[Pod], wanted: u32, memory: Memory, seconds: u64) -> (Plan, Memory) {
    let replicas = u32::try_from(pods.len()).expect("few");
    plan(&Fleet { pods, wanted, replicas, rolling: false, limit: LIMIT }, memory, TimeMs(seconds * 1_000))
}

fn names(plan: &Plan) -> Vec<&str> {
    let mut names: Vec<&str> = plan.mark.iter().map(|session| session.trim_start_matches("s-")).collect();
    names.extend(plan.costs.iter().filter(|(_, cost)| cost.is_some()).map(|(name, _)| name.as_str()));
    names.sort_unstable();
    names.dedup();
    names
}

#[test]
fn those_with_the_least_to_lose_are_chosen() {
    let table: [(&[&str], u32, &[&str]); 8] = [
        (&["a ready 0/3", "b ready 0/1", "c ready 0/2"], 2, &["b"]),
        // An activity that is cut off loses more than any number of turns.
        (&["a ready 0/1", "b ready 200/0", "c ready 0/2"], 2, &["b"]),
        (&["a ready 1/1", "b ready 0/1"], 1, &["b"]),
        // What has not begun goes first, as the ReplicaSet will have it.
        (&["a ready 0/0", "b pending", "c unready", "d unplaced"], 1, &["b", "c", "d"]),
        (&["a ready 0/0", "b pending", "c unready", "d unplaced"], 3, &["d"]),
        // Nobody knows what goes with it.
        (&["a ready", "b ready 9/9"], 1, &["b"]),
        // Chosen is chosen, by whoever led before.
        (&["a unready 0/5 draining", "b ready 0/0", "c ready 0/0"], 2, &["a"]),
        (&["a ready 0/5", "b ready 0/0"], 2, &[]),
    ];
    for (texts, wanted, chosen) in table {
        let (plan, _) = planned(&pods(texts), wanted, Memory::default(), 0);
        assert_eq!((names(&plan), plan.victims as usize), (chosen.to_vec(), chosen.len()), "{texts:?}");
        assert_eq!(plan.replicas as usize, texts.len(), "nothing goes at once: {texts:?}");
    }
    let mut young = pods(&["a ready 0/1", "b ready 0/1"]);
    young[0].made = 7;
    assert_eq!(names(&planned(&young, 1, Memory::default(), 0).0), ["a"], "of equals the younger");
}

#[test]
fn a_victim_goes_when_it_has_finished_and_everybody_has_seen_it() {
    let stays = "a ready 0/9";
    // (second, how the victim is, its cost is written, how many there may be)
    let table = [
        (0, "b ready 0/1", None, 2),
        (1, "b ready 0/1 draining", None, 2),
        (2, "b unready 0/1 draining", None, 2),
        // It has nothing, but takes on work as far as the ReplicaSet knows.
        (3, "b ready 0/0 draining", None, 2),
        (4, "b unready 0/0 draining", Some(GOES), 2),
        (5, "b unready 0/0 draining goes", None, 2),
        (6, "b unready 0/0 draining goes", None, 1),
    ];
    let mut memory = Memory::default();
    for (second, victim, cost, replicas) in table {
        let (plan, next) = planned(&pods(&[stays, victim]), 1, memory, second);
        assert_eq!(plan.costs, cost.map(|cost| ("b".to_owned(), Some(cost))).into_iter().collect::<Vec<_>>(), "{victim}");
        assert_eq!((plan.replicas, plan.mark.clone()), (replicas, vec!["s-b".to_owned()]), "{victim}");
        memory = next;
    }
    // It is on its way out.
    let fleet = pods(&[stays]);
    let (plan, memory) = plan(&Fleet { pods: &fleet, wanted: 1, replicas: 1, rolling: false, limit: LIMIT }, memory, TimeMs(7_000));
    assert_eq!((plan.gone, plan.unplanned, plan.replicas), (1, 0, 1));
    assert!(memory.is_empty());
}

#[test]
fn work_that_came_in_the_last_moment_is_finished_first() {
    let (_, memory) = planned(&pods(&["a ready 0/9", "b unready 0/0 draining goes"]), 1, Memory::default(), 0);
    let (plan, memory) = planned(&pods(&["a ready 0/9", "b unready 1/0 draining goes"]), 1, memory, 5);
    assert_eq!((plan.replicas, plan.costs), (2, vec![("b".to_owned(), None)]));
    let (plan, _) = planned(&pods(&["a ready 0/9", "b unready 0/0 draining goes"]), 1, memory, 6);
    assert_eq!(plan.replicas, 2, "and is seen to have for a second again");
}

#[test]
fn those_that_have_finished_do_not_wait_for_those_that_have_not() {
    let fleet = pods(&["a ready 0/9", "b unready 0/0 draining goes", "c unready 0/4 draining"]);
    let (first, memory) = planned(&fleet, 1, Memory::default(), 0);
    assert_eq!(first.replicas, 3);
    let (second, memory) = planned(&fleet, 1, memory, 1);
    assert_eq!((second.replicas, second.victims), (2, 2));
    // Both are told until the ReplicaSet has acted.
    let fleet = Fleet { pods: &fleet, wanted: 1, replicas: 2, rolling: false, limit: LIMIT };
    assert_eq!(plan(&fleet, memory, TimeMs(2_000)).0.replicas, 2);
}

#[test]
fn past_the_limit_it_goes_with_what_it_has() {
    let busy = pods(&["a ready 0/9", "b unready 2/1 draining"]);
    let (_, memory) = planned(&busy, 1, Memory::default(), 0);
    let (before, memory) = planned(&busy, 1, memory, 59);
    assert_eq!((before.overdue, before.costs), (vec![], vec![]));
    let (at, memory) = planned(&busy, 1, memory, 60);
    assert_eq!(at.overdue, [Overdue { pod: "b".to_owned(), work: Some((1, 2)) }]);
    assert_eq!(at.costs, [("b".to_owned(), Some(GOES))]);
    let costly = pods(&["a ready 0/9", "b unready 2/1 draining goes"]);
    let (after, memory) = planned(&costly, 1, memory, 61);
    assert_eq!((after.overdue, after.replicas), (vec![], 2), "it is told once");
    assert_eq!(planned(&costly, 1, memory, 62).0.replicas, 1);
}

/// A worker of before drains knows nothing of them, and one under another name cannot be told.
#[test]
fn one_that_never_becomes_unready_goes_at_the_limit() {
    for text in ["b ready 0/0 draining", "b ready"] {
        let (_, memory) = planned(&pods(&[text]), 0, Memory::default(), 0);
        let (plan, memory) = planned(&pods(&[text]), 0, memory, 60);
        assert_eq!(plan.costs, [("b".to_owned(), Some(GOES))]);
        let costly = format!("{text} goes");
        let (_, memory) = planned(&pods(&[&costly]), 0, memory, 61);
        assert_eq!(planned(&pods(&[&costly]), 0, memory, 62).0.replicas, 0, "{text}");
    }
}

#[test]
fn a_burst_takes_victims_back_those_with_the_most_work_first() {
    let fleet = pods(&["a ready 0/9", "b unready 0/0 draining goes", "c unready 0/4 draining", "d unready 0/1 draining"]);
    let (plan, memory) = planned(&fleet, 1, Memory::default(), 0);
    assert_eq!((plan.victims, plan.taken_back), (3, 0));
    let (plan, memory) = planned(&fleet, 2, memory, 0);
    assert_eq!((plan.unmark, plan.taken_back, plan.victims), (vec!["s-c".to_owned()], 1, 2));
    let (plan, memory) = planned(&fleet, 4, memory, 0);
    assert_eq!(plan.unmark, ["s-b", "s-c", "s-d"]);
    assert_eq!(plan.costs, [("b".to_owned(), None)]);
    assert_eq!((plan.replicas, plan.victims, plan.taken_back), (4, 0, 2));
    let (plan, memory) = planned(&fleet, 6, memory, 0);
    assert_eq!(plan.replicas, 6, "then there are new pods");
    assert!(memory.is_empty());
}

#[test]
fn one_that_went_though_not_chosen_is_counted_and_the_victim_is_taken_back() {
    let fleet = pods(&["a ready 0/9", "b ready 0/9", "c unready 0/0 draining goes"]);
    let (_, memory) = planned(&fleet, 2, Memory::default(), 0);
    let (plan, memory) = planned(&fleet, 2, memory, 1);
    assert_eq!(plan.replicas, 2);
    let left = pods(&["a ready 0/9", "c unready 0/0 draining goes"]);
    let (plan, _) = planned(&left, 2, memory, 2);
    assert_eq!((plan.gone, plan.unplanned, plan.taken_back), (0, 1, 1));
    assert_eq!((plan.unmark, plan.costs), (vec!["s-c".to_owned()], vec![("c".to_owned(), None)]));
}

/// The number has fallen, and the ReplicaSet has not acted yet.
#[test]
fn a_burst_in_the_last_moment_spares_those_that_it_needs() {
    let fleet = pods(&["a unready 0/0 draining goes", "b unready 0/0 draining goes", "c unready 0/0 draining goes"]);
    let at = |wanted, replicas, memory, seconds: u64| {
        plan(&Fleet { pods: &fleet, wanted, replicas, rolling: false, limit: LIMIT }, memory, TimeMs(seconds * 1_000))
    };
    let (_, memory) = at(0, 3, Memory::default(), 0);
    let (lowered, memory) = at(0, 3, memory, 1);
    assert_eq!(lowered.replicas, 0);
    let (raised, memory) = at(1, 0, memory, 1);
    assert_eq!((raised.replicas, raised.victims, raised.taken_back), (1, 3, 0), "which one stays is the ReplicaSet's to say");
    let (late, _) = at(3, 1, memory.clone(), 2);
    assert_eq!((late.replicas, late.victims, late.taken_back, late.unplanned), (3, 0, 3, 0), "a second later it has heard");
    let left = pods(&["b unready 0/0 draining goes"]);
    let after = Fleet { pods: &left, wanted: 1, replicas: 1, rolling: false, limit: LIMIT };
    let (plan, memory) = plan(&after, memory, TimeMs(2_000));
    assert_eq!((plan.gone, plan.unplanned, plan.taken_back), (2, 0, 1));
    assert!(memory.is_empty());
}

#[test]
fn within_a_rollout_nothing_goes_unless_all_do() {
    let fleet = pods(&["a ready 0/9", "b unready 0/0 draining goes", "c pending"]);
    let rolling = |wanted| Fleet { pods: &fleet, wanted, replicas: 3, rolling: true, limit: LIMIT };
    let (_, memory) = planned(&fleet, 2, Memory::default(), 0);
    let (held, _) = plan(&rolling(2), memory.clone(), TimeMs(9_000));
    assert_eq!((held.replicas, held.victims, held.unmark), (3, 0, vec!["s-b".to_owned()]));
    let (all, _) = plan(&rolling(0), memory, TimeMs(9_000));
    assert_eq!((all.replicas, all.victims), (3, 3));
    let fleet = pods(&["a unready 0/0 draining goes", "b unready 0/0 draining goes", "c pending goes"]);
    let rolling = Fleet { pods: &fleet, wanted: 0, replicas: 3, rolling: true, limit: LIMIT };
    let (_, memory) = plan(&rolling, Memory::default(), TimeMs(0));
    assert_eq!(plan(&rolling, memory, TimeMs(1_000)).0.replicas, 0);
}

/// The ReplicaSet would take one that waits for a node before any that has finished.
#[test]
fn what_the_replica_set_takes_first_must_be_a_victim_too() {
    let fleet = pods(&["a ready 0/9", "b unready 0/0 draining goes", "new unplaced", "c ready 0/9"]);
    let (first, memory) = planned(&fleet, 3, Memory::default(), 0);
    assert_eq!((names(&first), first.unmark.clone()), (vec!["new"], vec!["s-b".to_owned()]));
    assert_eq!(planned(&fleet, 3, memory, 60).0.replicas, 4, "its cost is not seen yet");
    let equals = pods(&["a ready 0/9", "b unready 0/0 goes", "c unready 0/3 goes"]);
    let (_, memory) = planned(&equals, 2, Memory::default(), 0);
    assert_eq!(planned(&equals, 2, memory, 9).0.replicas, 3, "it may take either of two that look alike to it");
}

#[test]
fn pods_that_are_not_there_need_no_plan() {
    let fleet = pods(&["a ready 0/9"]);
    let told = |wanted| plan(&Fleet { pods: &fleet, wanted, replicas: 5, rolling: false, limit: LIMIT }, Memory::default(), TimeMs(0)).0;
    assert_eq!((told(3).replicas, told(3).victims), (3, 0));
    assert_eq!((told(0).replicas, told(0).victims), (1, 1));
    assert_eq!(told(7).replicas, 7);
}
