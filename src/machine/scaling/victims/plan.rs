//! The plan: what to do next so that there are as few pods as wanted.

use std::collections::BTreeSet;

use super::memory::{Look, Lowered, Memory, Victim};
use super::order::{taken, to_give_up};
use super::pod::{Pod, Stage};
use super::{GOES, SETTLE};
use crate::api::{DurationMs, TimeMs};

/// How the pool is, and how it should be.
#[derive(Debug, Clone, Copy)]
pub struct Fleet<'a> {
    /// All pods that are not on their way out.
    pub pods: &'a [Pod],
    /// So many are wanted.
    pub wanted: u32,
    /// So many the Deployment is told to have.
    pub replicas: u32,
    /// The pods are of more than one template: costs count within one ReplicaSet only, so nobody knows which go.
    pub rolling: bool,
    /// So long a victim has to finish what it has.
    pub limit: DurationMs,
}

/// What to do next. All of it may be done again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// So many pods the Deployment is to have from now on.
    pub replicas: u32,
    /// Sessions to be marked; those that are have to be renewed.
    pub mark: Vec<String>,
    /// Sessions whose mark is to be taken back.
    pub unmark: Vec<String>,
    /// Pods whose deletion cost is to be [`GOES`], or none.
    pub costs: Vec<(String, Option<i32>)>,
    /// Pods that are to go and are there yet.
    pub victims: u32,
    /// Those of them that take on no work.
    pub resting: u32,
    /// Those that have just passed the limit.
    pub overdue: Vec<Overdue>,
    /// Victims that have gone since the last plan.
    pub gone: u32,
    /// Pods that went in the place of victims.
    pub unplanned: u32,
    /// Victims that are not needed as such any more.
    pub taken_back: u32,
}

/// A victim that has not finished within the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// The pod.
    pub pod: String,
    /// What it has yet: activities, turns. Absent when it is not known.
    pub work: Option<(u64, u64)>,
}

/// What to do next, and what is to be remembered until then.
#[must_use]
pub fn plan(fleet: &Fleet<'_>, mut memory: Memory, now: TimeMs) -> (Plan, Memory) {
    let mut plan = Plan { replicas: fleet.wanted.max(fleet.replicas), ..Plan::default() };
    settle_last(fleet, &mut memory, &mut plan, now);
    look(fleet.pods, &mut memory, now);
    // Within a rollout nobody knows which pods go, unless all do; and it has more pods than it is told to have.
    let all = fleet.wanted == 0;
    let is_too_large = fleet.wanted < fleet.replicas || memory.lowered.is_some();
    let surplus = if is_too_large && (all || !fleet.rolling) { fleet.pods.len().saturating_sub(fleet.wanted as usize) } else { 0 };
    let mut victims = choose(fleet.pods, surplus, &memory);
    if let Some(lowered) = &memory.lowered {
        // They may be gone already, as far as the ReplicaSet knows.
        victims.extend(fleet.pods.iter().map(|pod| pod.name.as_str()).filter(|name| lowered.pods.contains(*name)));
    }
    for pod in fleet.pods {
        if victims.contains(pod.name.as_str()) {
            give_up(pod, fleet.limit, &mut memory, &mut plan, now);
        } else {
            take_back(pod, &mut memory, &mut plan);
        }
    }
    memory.victims.retain(|name, _| victims.contains(name.as_str()));
    plan.victims = number(victims.len());
    if fleet.wanted >= fleet.replicas || (fleet.rolling && !all) {
        return (plan, memory);
    }
    let going = going(fleet.pods, &memory, now);
    if fleet.rolling && going.len() < fleet.pods.len() {
        return (plan, memory);
    }
    let to = number(fleet.pods.len() - going.len()).max(fleet.wanted).min(fleet.replicas);
    plan.replicas = to;
    let due = number(fleet.pods.len()).saturating_sub(to);
    if to < fleet.replicas && due > 0 {
        memory.lowered = Some(Lowered { to, due, pods: going, raised: None });
        // Nobody else begins to look like those that go now.
        plan.costs.retain(|(_, cost)| cost.is_none());
    }
    (plan, memory)
}

/// Which pods have gone since the last plan, and whether the last lowering has happened.
fn settle_last(fleet: &Fleet<'_>, memory: &mut Memory, plan: &mut Plan, now: TimeMs) {
    let is_there = |name: &String| fleet.pods.iter().any(|pod| pod.name == *name);
    plan.gone = number(memory.victims.keys().filter(|name| !is_there(name)).count());
    let Some(lowered) = &mut memory.lowered else { return };
    lowered.due = lowered.due.saturating_sub(plan.gone);
    lowered.pods.retain(is_there);
    if fleet.wanted > lowered.to {
        lowered.raised.get_or_insert(now);
    }
    let goal = lowered.to.max(fleet.wanted);
    let has_heard = lowered.raised.is_none_or(|at| now.since(at) >= SETTLE);
    if lowered.pods.is_empty() {
        memory.lowered = None;
    } else if fleet.pods.len() <= goal as usize && has_heard {
        // As many have gone as should: those that were due and are not wanted again are still there, and others are not.
        plan.unplanned = lowered.due.saturating_sub(goal - lowered.to);
        memory.lowered = None;
    }
}

fn choose<'a>(pods: &'a [Pod], surplus: usize, memory: &Memory) -> BTreeSet<&'a str> {
    let mut pods: Vec<&Pod> = pods.iter().collect();
    let chosen = |pod: &Pod| {
        memory.victims.contains_key(&pod.name) || pod.cost == Some(GOES) || pod.session().is_some_and(|session| session.draining)
    };
    pods.sort_by_cached_key(|pod| to_give_up(pod, chosen(pod)));
    pods.into_iter().take(surplus).map(|pod| pod.name.as_str()).collect()
}

/// A pod is to go: it finishes what it has, and then gets its cost.
fn give_up(pod: &Pod, limit: DurationMs, memory: &mut Memory, plan: &mut Plan, now: TimeMs) {
    let waits = memory.lowered.as_ref().is_some_and(|lowered| !lowered.pods.contains(&pod.name));
    let victim = memory.victims.entry(pod.name.clone()).or_insert(Victim { since: now, settled: None, overdue: false });
    plan.mark.extend(pod.session().into_iter().flat_map(|session| session.ids.clone()));
    plan.resting += u32::from(pod.stage != Stage::Ready);
    let has_finished = pod.has_finished();
    if !has_finished && !victim.overdue && now.since(victim.since) >= limit {
        victim.overdue = true;
        plan.overdue.push(Overdue { pod: pod.name.clone(), work: pod.work() });
    }
    let may_go = (has_finished || victim.overdue) && !(waits && pod.cost.is_none());
    let cost = may_go.then_some(GOES);
    if pod.cost != cost && (may_go || pod.cost == Some(GOES)) {
        plan.costs.push((pod.name.clone(), cost));
    }
    victim.settled = if may_go && pod.cost == Some(GOES) { victim.settled.or(Some(now)) } else { None };
}

/// A pod stays: what was done to it is undone.
fn take_back(pod: &Pod, memory: &mut Memory, plan: &mut Plan) {
    if memory.victims.remove(&pod.name).is_some() {
        plan.taken_back += 1;
    }
    plan.unmark.extend(pod.session().filter(|session| session.draining).into_iter().flat_map(|session| session.ids.clone()));
    if pod.cost == Some(GOES) {
        plan.costs.push((pod.name.clone(), None));
    }
}

/// The pods that the ReplicaSet takes first, as long as each of them may go. Among equals it may take any, so all of them must; and of a
/// pod that it may not take it may know only how that one looked before.
fn going(pods: &[Pod], memory: &Memory, now: TimeMs) -> BTreeSet<String> {
    let looks = pods.iter().map(|pod| {
        let settled = memory.victims.get(&pod.name).and_then(|victim| victim.settled);
        let may_go = settled.is_some_and(|since| now.since(since) >= SETTLE);
        let look = taken(pod);
        let known = memory.looks.get(&pod.name).map_or(look, |known| known.lowest.min(look));
        (if may_go { look } else { known }, may_go, &pod.name)
    });
    let mut looks: Vec<_> = looks.collect();
    looks.sort_unstable();
    let groups = looks.chunk_by(|a, b| a.0 == b.0).take_while(|group| group.iter().all(|(_, may_go, _)| *may_go));
    groups.flatten().map(|(_, _, name)| (*name).clone()).collect()
}

/// Remembers how the pods look.
fn look(pods: &[Pod], memory: &mut Memory, now: TimeMs) {
    memory.looks.retain(|name, _| pods.iter().any(|pod| pod.name == *name));
    for pod in pods {
        let look = taken(pod);
        let known = memory.looks.entry(pod.name.clone()).or_insert(Look { lowest: look, at: now });
        if look <= known.lowest || now.since(known.at) >= SETTLE {
            *known = Look { lowest: look, at: now };
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
