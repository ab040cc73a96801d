//! What is said of a pool.

use k8s_openapi::api::apps::v1::DeploymentStatus;

use super::auto;
use super::pods::Trouble;
use super::wanted::selector;
use crate::api::DurationMs;
use crate::crd::resources::{Mode, Reason, Standing, WorkerPool, WorkerPoolStatus};
use crate::machine::scaling::victims::Overdue;
use crate::machine::scaling::{self, Cause, Stuck};
use crate::operator::context::Error;

/// Of a reason in a status.
const TEXT_CHARACTERS_MAX: usize = 512;

/// How a pool's Deployment is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Fleet {
    pub(super) generation: i64,
    pub(super) state: DeploymentStatus,
    pub(super) trouble: Option<Trouble>,
    /// So many pods.
    pub(super) wanted: i32,
    /// So many the Deployment is told to have: more, as long as some finish what they have.
    pub(super) replicas: i32,
    /// These, and those of them that take on no work.
    pub(super) victims: u32,
    pub(super) resting: u32,
    /// It is to be looked at soon: the pods change without a word.
    pub(super) goes_on: bool,
    /// What it waits for before it gets the operator's own image.
    pub(super) waits: Option<String>,
    /// Why, of a pool that follows its work.
    pub(super) following: Option<auto::Wanted>,
}

impl Fleet {
    /// Whether all pods are there, of the newest template, and as many ready as wanted.
    pub(super) fn is_complete(&self) -> bool {
        let state = &self.state;
        let seen = state.observed_generation.unwrap_or(0) >= self.generation;
        let all = [state.replicas, state.updated_replicas].iter().all(|number| number.unwrap_or(0) == self.replicas);
        seen && all && state.ready_replicas.unwrap_or(0) >= self.wanted
    }

    /// The pods by sort, for a decision.
    pub(super) fn of_pods(&self) -> scaling::Fleet {
        let number = |number: Option<i32>| u32::try_from(number.unwrap_or(0)).unwrap_or(0);
        let (all, ready) = (number(self.state.replicas), number(self.state.ready_replicas));
        let unready = all.saturating_sub(ready).saturating_sub(self.resting);
        let failing = self.state.conditions.iter().flatten().find(|of| of.type_ == "ReplicaFailure" && of.status == "True");
        let mut stuck = Vec::new();
        if let Some(failing) = failing {
            let count = number(Some(self.wanted)).saturating_sub(all).max(1);
            stuck.push(Stuck { count, cause: Cause::Refused, detail: failing.message.clone().unwrap_or_default() });
        }
        if let Some(trouble) = &self.trouble {
            let cause = match trouble.reason {
                Reason::Unschedulable => Cause::Unschedulable,
                Reason::ImagePullBackOff | Reason::InvalidImageName | Reason::ErrImageNeverPull => Cause::Image,
                _ => Cause::Crash,
            };
            stuck.push(Stuck { count: trouble.pods.min(unready).max(1), cause, detail: trouble.message.clone() });
        }
        // The others are on their way.
        let starting = unready.saturating_sub(self.trouble.as_ref().map_or(0, |trouble| trouble.pods));
        let draining = self.victims;
        scaling::Fleet { ready: ready.saturating_sub(draining - self.resting), starting, stuck, draining, start: None }
    }
}

fn said(pool: &WorkerPool, standing: Standing, reason: &Reason, message: &str, now: &str) -> WorkerPoolStatus {
    let generation = pool.metadata.generation.unwrap_or(0);
    let mut next = WorkerPoolStatus { observed_generation: generation, ..pool.status.clone().unwrap_or_default() };
    next.conditions.stand(standing, reason, message, generation, now);
    let labels = selector(pool);
    let pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    next.selector = pairs.join(",");
    next
}

/// The pool itself is wrong.
pub(super) fn invalid(pool: &WorkerPool, what: &str, now: &str) -> WorkerPoolStatus {
    said(pool, Standing::STALLED, &Reason::InvalidSpec, &format!("{what}; the pods stay as they are"), now)
}

/// Somebody else has an object of our name.
pub(super) fn name_taken(pool: &WorkerPool, kind: &str, name: &str, now: &str) -> WorkerPoolStatus {
    let message =
        format!("there is a {kind} {name} that does not belong to this pool: it is not touched; rename the pool or remove the {kind}");
    said(pool, Standing::STALLED, &Reason::NameTaken, &message, now)
}

/// Somebody changes a field back whenever we have put it back.
pub(super) fn contested(pool: &WorkerPool, kind: &str, field: &str, manager: Option<&str>, now: &str) -> WorkerPoolStatus {
    let manager = manager.unwrap_or("somebody");
    let message = format!(
        "`{field}` of the {kind} was put back three times in ten minutes, and {manager:?} changes it again: stop that, or change the WorkerPool; it is put back again later"
    );
    said(pool, Standing::STALLED, &Reason::FieldConflict, &message, now)
}

/// What is said when the API server does not take what the pool asks for, however often it is sent; absent when that may pass by itself.
pub(super) fn refused(pool: &WorkerPool, error: &Error, now: &str) -> Option<WorkerPoolStatus> {
    let Error::Cluster(kube::Error::Api(answer)) = error else { return None };
    match answer.code {
        403 => Some(forbidden(pool, &answer.message, now)),
        400 | 422 => Some(not_taken(pool, &answer.message, now)),
        // A field that the schema does not have is the API server's own fault to it.
        500 if NOT_TYPED.iter().any(|words| answer.message.starts_with(words)) => Some(not_taken(pool, &answer.message, now)),
        _ => None,
    }
}

/// How the API server begins to say that what was applied does not fit its schema, or its types.
const NOT_TYPED: [&str; 2] = ["failed to create typed patch object", "failed to convert new object"];

fn not_taken(pool: &WorkerPool, error: &str, now: &str) -> WorkerPoolStatus {
    let what = format!(
        "the API server does not take what this pool asks for: {error}; correct that field where it comes from, `spec.template`, `spec.resources` or `spec.nodeSelector`"
    );
    invalid(pool, &what, now)
}

/// The API server does not let us.
fn forbidden(pool: &WorkerPool, error: &str, now: &str) -> WorkerPoolStatus {
    let message = format!(
        "the API server does not let the operator make what this pool needs: {error}; give its ServiceAccount the rights, or use a namespace that it may work in"
    );
    said(pool, Standing::STALLED, &Reason::Forbidden, &message, now)
}

/// What the Deployment and its pods say of the pool.
pub(super) fn status(pool: &WorkerPool, fleet: &Fleet, now: &str) -> WorkerPoolStatus {
    let state = &fleet.state;
    let (wanted, ready, all) = (fleet.wanted, state.ready_replicas.unwrap_or(0), state.replicas.unwrap_or(0));
    let condition = |kind: &str| state.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    let late = condition("Progressing").filter(|condition| condition.status == "False");
    let failing = condition("ReplicaFailure").filter(|condition| condition.status == "True");
    let so_many = format!("{ready} of {wanted} pods are ready");
    let mut next = if let Some(failing) = failing {
        let message = format!("no pod can be made: {}", failing.message.as_deref().unwrap_or("the Deployment does not say why"));
        said(pool, Standing::STALLED, &Reason::PodsRefused, &message, now)
    } else if fleet.is_complete() && wanted == 0 && fleet.victims > 0 {
        said(pool, Standing::RECONCILING, &Reason::Draining, &finishing(fleet.victims), now)
    } else if fleet.is_complete() && wanted == 0 {
        said(pool, Standing::READY, &Reason::ScaledToZero, "no pods, as wanted: runs of this pool wait", now)
    } else if fleet.is_complete() {
        said(pool, Standing::READY, &Reason::PodsReady, &format!("all {wanted} pods are ready"), now)
    } else if let Some(trouble) = &fleet.trouble {
        let standing = if trouble.may_pass { Standing::RECONCILING } else { Standing::STALLED };
        said(pool, standing, &trouble.reason, &format!("{so_many}: {}", trouble.message), now)
    } else if let Some(late) = late {
        said(pool, Standing::STALLED, &Reason::PodsNotReady, &format!("{so_many}: {}", late.message.as_deref().unwrap_or_default()), now)
    } else {
        said(pool, Standing::RECONCILING, &Reason::PodsStarting, &so_many, now)
    };
    (next.replicas, next.ready_replicas, next.desired_replicas) = (all, ready, Some(wanted));
    next.draining = i32::try_from(fleet.victims).ok().filter(|victims| *victims > 0);
    if fleet.victims > 0 {
        let generation = pool.metadata.generation.unwrap_or(0);
        next.conditions.set("Reconciling", "True", &Reason::Draining, &finishing(fleet.victims), generation, now);
    }
    if let Some(waits) = &fleet.waits {
        let (generation, message) = (pool.metadata.generation.unwrap_or(0), format!("to be rolled to the operator's image: {waits}"));
        next.conditions.set("Reconciling", "True", &Reason::WaitsForItsTurn, &message, generation, now);
    }
    follows(&mut next, pool.spec.scaling.mode, fleet.following.as_ref(), pool.metadata.generation.unwrap_or(0), now);
    next
}

fn finishing(victims: u32) -> String {
    format!("{victims} pods more than wanted finish what they have, and then go")
}

/// That a pod which was to go has not finished in time: the note of an event.
pub(super) fn overdue(pool: &WorkerPool, overdue: &Overdue) -> String {
    let had = match overdue.work {
        Some((activities, turns)) => format!("had {activities} activities and {turns} turns left"),
        None => "could not be asked what it has".to_owned(),
    };
    let grace = pool.spec.termination_grace_period_seconds;
    format!("pod {} {had} after {grace} s: it is told to end, and hands back what it does not finish in {grace} s more", overdue.pod)
}

/// What a pool says beside of which it is decided how many pods its work wants.
fn follows(next: &mut WorkerPoolStatus, mode: Mode, following: Option<&auto::Wanted>, generation: i64, now: &str) {
    let Some(following) = following else {
        if mode != Mode::Fixed {
            // Nothing is decided yet: what was said before holds.
            return;
        }
        (next.busy, next.backlog, next.oldest, next.wanted_replicas, next.scaling_reason) = (None, None, None, None, None);
        next.decisions.clear();
        if next.conditions.get("Scaling").is_some() {
            next.conditions.set("Scaling", "False", &Reason::NotAuto, "`spec.replicas` is the number of pods", generation, now);
        }
        return;
    };
    if let Some(signals) = &following.signals {
        let number = |turns: u64, activities: u64| i64::try_from(turns.saturating_add(activities)).ok();
        let (turns, activities) = (&signals.turns, &signals.activities);
        next.busy = number(turns.busy, activities.busy);
        next.backlog = number(turns.backlog, activities.backlog);
        // Whole seconds: the rest is over when it is read.
        next.oldest = Some(DurationMs::from_secs(turns.oldest.max(activities.oldest).0 / 1_000).to_string());
    }
    let cut = |text: &str| text.chars().take(TEXT_CHARACTERS_MAX).collect::<String>();
    next.wanted_replicas = i32::try_from(following.replicas).ok();
    next.scaling_reason = Some(cut(&following.reason));
    next.decisions.clone_from(&following.decisions);
    // The last one is the most urgent.
    match following.conditions.last() {
        Some(condition) => next.conditions.set("Scaling", "False", &reason(condition), &cut(&condition.to_string()), generation, now),
        None if mode == Mode::External => {
            let message = "the number of pods that the work wants is published; another program decides";
            next.conditions.set("Scaling", "True", &Reason::NumberPublished, message, generation, now);
        }
        None => next.conditions.set("Scaling", "True", &Reason::FollowsTheWork, "the number of pods follows the work", generation, now),
    }
}

/// That the number of pods goes another way than before: the reason of an event, and its note.
pub(super) fn turned(before: Option<&WorkerPoolStatus>, next: &WorkerPoolStatus) -> Option<(&'static str, String)> {
    let mut decisions = next.decisions.iter();
    let last = decisions.next()?;
    if before.is_some_and(|before| before.decisions.first() == Some(last)) {
        return None;
    }
    let rises = last.to > last.from;
    if decisions.next().is_some_and(|earlier| (earlier.to > earlier.from) == rises) {
        return None;
    }
    let reason = if rises { "ScaledUp" } else { "ScaledDown" };
    Some((reason, format!("from {} to {} pods: {}", last.from, last.to, last.reason)))
}

fn reason(condition: &scaling::Condition) -> Reason {
    match condition {
        scaling::Condition::SignalUnknown => Reason::SignalUnknown,
        scaling::Condition::SignalOld(_) => Reason::SignalOld,
        scaling::Condition::Stuck { .. } => Reason::PodsStuck,
        scaling::Condition::AtMax { .. } => Reason::AtMax,
        scaling::Condition::NotForLackOfPods { .. } => Reason::NotForLackOfPods,
        scaling::Condition::TargetBelowStart { .. } => Reason::TargetBelowStart,
    }
}
