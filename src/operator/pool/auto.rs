//! `scaling.mode: Auto` and `External`: the queue service tells what the pools have to do, [`decide`] says how many pods that wants, and a
//! pool whose number or condition changes is passed over. An `Auto` pool gets so many; of an `External` one the number is only told. What is
//! remembered may be lost at any time: the number in the pool's status is kept until it has been unneeded for a whole window again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::mpsc;

use super::measured::{self, Measured};
use super::pods;
use super::starts::Starts;
use super::told;
use super::wanted::queue_pool;
use crate::api::http::Pools;
use crate::api::signals::Signals;
use crate::api::{DurationMs, Name, TimeMs};
use crate::crd::resources::{DECISIONS_MAX, Mode, Scaling, ScalingDecision, WorkerPool};
use crate::machine::scaling::{Condition, Decision, Fleet, Heard, Limits, Memory, Settings, Slots, decide};
use crate::operator::context::Context;
use crate::operator::metrics::Metrics;
use crate::operator::status;

/// A decision is made with each signal, and so often besides: windows end.
const DECIDE_EVERY: Duration = Duration::from_secs(1);
/// Between two questions to the queue service, so that what changes together is one answer.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Numbers that change alone are written so often at most.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// See the module. Pools are known by their uid.
#[derive(Debug)]
pub(in crate::operator) struct Auto {
    pools: Mutex<HashMap<String, Followed>>,
    measured: Measured,
    /// Decisions are made, and starts of pods are measured, by the time since then.
    began: Instant,
}

/// A pool that follows its work.
#[derive(Debug)]
struct Followed {
    memory: Memory,
    heard: Option<Heard>,
    fleet: Fleet,
    starts: Starts,
    last: Option<Decision>,
    decisions: VecDeque<ScalingDecision>,
    told: Instant,
}

/// What a pass over the pool needs to know.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) replicas: u32,
    pub(super) reason: String,
    pub(super) conditions: Vec<Condition>,
    /// The last ones, the latest first.
    pub(super) decisions: Vec<ScalingDecision>,
    pub(super) signals: Option<Signals>,
}

impl Auto {
    pub(in crate::operator) fn new(metrics: Arc<Metrics>) -> Self {
        Self { pools: Mutex::default(), measured: Measured::new(metrics), began: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Followed>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never zero, never set.
    fn now(&self) -> TimeMs {
        TimeMs(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1))
    }

    /// The last decision; absent before the first.
    pub(super) fn wanted(&self, uid: &str) -> Option<Wanted> {
        let pools = self.lock();
        let followed = pools.get(uid)?;
        let last = followed.last.as_ref()?;
        Some(Wanted {
            replicas: last.wanted,
            reason: last.reason.clone(),
            conditions: last.conditions.clone(),
            decisions: followed.decisions.iter().cloned().collect(),
            signals: followed.heard.as_ref().map(|heard| heard.signals.clone()),
        })
    }

    /// Whether the pods were looked at since something was decided for the pool.
    pub(super) fn has_looked(&self, pool: &WorkerPool) -> bool {
        self.lock().get(&pool.uid().unwrap_or_default()).is_none_or(|followed| followed.starts.has_looked())
    }

    /// How the pods are, for the next decision; themselves when they were looked at.
    pub(super) fn seen(&self, pool: &WorkerPool, fleet: &told::Fleet, pods: Option<&[Pod]>) {
        let number = |number: Option<i32>| number.unwrap_or(0);
        self.measured.seen(&measured::labels(pool), number(fleet.state.replicas), number(fleet.state.ready_replicas));
        if let Some(followed) = self.lock().get_mut(&pool.uid().unwrap_or_default()) {
            if let Some(pods) = pods {
                let now = self.now();
                followed.starts.look(pods.iter().map(|pod| (pod.uid().unwrap_or_default(), pods::stage(pod))), now);
            }
            followed.fleet = Fleet { start: followed.starts.p95(), ..fleet.of_pods() };
        }
    }

    /// Decides for one pool; whether it is to be passed over.
    fn decide(&self, pool: &WorkerPool, limits: &Limits, heard: Option<Signals>, now: TimeMs) -> bool {
        let mut pools = self.lock();
        let before = pool.status.as_ref().and_then(|status| match pool.spec.scaling.mode {
            Mode::External => status.wanted_replicas.or(status.desired_replicas),
            Mode::Auto | Mode::Fixed => status.desired_replicas,
        });
        let before = before.and_then(|number| u32::try_from(number).ok());
        let followed = pools.entry(pool.uid().unwrap_or_default()).or_insert_with(|| Followed {
            memory: Memory::of(before.unwrap_or(0), now),
            heard: None,
            fleet: Fleet::default(),
            starts: Starts::default(),
            last: None,
            decisions: pool.status.as_ref().map(|status| status.decisions.clone()).unwrap_or_default().into(),
            told: Instant::now(),
        });
        if let Some(signals) = heard {
            followed.heard = Some(Heard { signals, at: now });
        }
        let (decision, memory) = decide(limits, &followed.fleet, followed.heard.as_ref(), followed.memory.clone(), now);
        followed.memory = memory;
        self.measured.decided(&measured::labels(pool), &decision);
        let names = |decision: &Decision| decision.conditions.iter().map(Condition::name).collect::<Vec<_>>();
        let is_new = followed.last.as_ref().is_none_or(|last| last.wanted != decision.wanted || names(last) != names(&decision));
        // A load that stays gets older.
        let works = |heard: &Heard| heard.signals != Signals::default();
        let is_other =
            followed.last.as_ref().is_none_or(|last| last.reason != decision.reason) || followed.heard.as_ref().is_some_and(works);
        if decision.wanted != decision.from {
            followed.decisions.truncate(DECISIONS_MAX - 1);
            let (from, to) = (i64::from(decision.from), i64::from(decision.wanted));
            tracing::info!(pool = pool.name_any(), namespace = pool.namespace(), from, to, reason = decision.reason, "scaling decided");
            followed.decisions.push_front(ScalingDecision { at: status::now(), from, to, reason: decision.reason.clone() });
        }
        let tells = is_new || (is_other && followed.told.elapsed() >= TELL_EVERY);
        if tells {
            followed.told = Instant::now();
        }
        followed.last = Some(decision);
        tells
    }

    /// Forgets pools that are gone, or follow nothing any more.
    fn keep(&self, pools: &[Arc<WorkerPool>]) {
        let followed: HashSet<String> = pools.iter().filter(|pool| follows(pool)).filter_map(|pool| pool.uid()).collect();
        self.lock().retain(|uid, _| followed.contains(uid));
        self.measured.keep(&pools.iter().map(|pool| measured::labels(pool)).collect());
        pools.iter().filter(|pool| !follows(pool)).for_each(|pool| self.measured.undecided(&measured::labels(pool)));
    }
}

/// What a pool says of its size, or why it cannot be obeyed.
pub(super) fn limits(pool: &WorkerPool) -> Result<Limits, String> {
    let Scaling { min, max, target, fall_window, zero_window, rise_max, fall_max, .. } = &pool.spec.scaling;
    let duration = |text: &Option<String>, field: &str| {
        text.as_deref().map(str::parse::<DurationMs>).transpose().map_err(|e| format!("`spec.scaling.{field}`: {e}"))
    };
    let slots = &pool.spec.slots;
    let settings = Settings {
        min: *min,
        max: *max,
        target: duration(target, "target")?,
        fall_window: duration(fall_window, "fallWindow")?,
        zero_window: duration(zero_window, "zeroWindow")?,
        rise_max: *rise_max,
        fall_max: *fall_max,
        slots: Slots { turns: u32::from(slots.turns) * u32::from(slots.loops), activities: u32::from(slots.activities) },
    };
    Limits::try_from(settings).map_err(|unfit| format!("`spec.scaling`: {unfit}"))
}

/// How many pods a pool that follows its work has: by the last decision, and before the first one as many as it had, or the fewest.
pub(super) fn replicas(pool: &WorkerPool, last: Option<&Wanted>) -> i32 {
    let before = pool.status.as_ref().and_then(|status| status.desired_replicas);
    let fewest = || i32::try_from(pool.spec.scaling.min.unwrap_or(0)).unwrap_or(i32::MAX);
    last.map_or_else(|| before.unwrap_or_else(fewest), |wanted| i32::try_from(wanted.replicas).unwrap_or(i32::MAX))
}

/// Follows the work of all pools that want it, as long as it is polled.
pub(super) async fn follow(context: &Context, objects: Store<WorkerPool>, triggers: mpsc::Sender<ObjectRef<WorkerPool>>) {
    let queue = context.queue(&context.config.namespace);
    let mut seen = String::new();
    loop {
        if !objects.state().iter().any(|pool| follows(pool)) {
            // Nobody wants to know, and each answer costs a look at every partition.
            context.auto.keep(&objects.state());
            tokio::time::sleep(DECIDE_EVERY).await;
            continue;
        }
        let answer = {
            let mut asked = std::pin::pin!(queue.pools(&seen));
            loop {
                tokio::select! {
                    answer = &mut asked => break answer,
                    () = tokio::time::sleep(DECIDE_EVERY) => all(context, &objects, None, &triggers).await,
                }
            }
        };
        let pause = match answer {
            Ok(pools) => {
                seen.clone_from(&pools.seen);
                all(context, &objects, Some(&pools), &triggers).await;
                PAUSE
            }
            Err(error) => {
                tracing::debug!(%error, "the signals of the pools cannot be read; trying again");
                all(context, &objects, None, &triggers).await;
                PAUSE_AFTER_FAILURE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Whether it is decided how many pods a pool's work wants.
pub(super) fn follows(pool: &WorkerPool) -> bool {
    pool.spec.scaling.mode != Mode::Fixed && pool.metadata.deletion_timestamp.is_none()
}

/// Decides for every pool that follows its work. A pool that the queue service does not know has nothing to do.
async fn all(context: &Context, objects: &Store<WorkerPool>, pools: Option<&Pools>, triggers: &mpsc::Sender<ObjectRef<WorkerPool>>) {
    let now = context.auto.now();
    let known = objects.state();
    for pool in known.iter().filter(|pool| follows(pool)) {
        let (Ok(limits), Ok(name)) = (limits(pool), pool.name_any().parse::<Name>()) else { continue };
        let name = queue_pool(&pool.namespace().unwrap_or_default(), &name, &context.config.namespace);
        let heard = pools.map(|pools| {
            let known = pools.pools.iter().find(|known| known.pool == name);
            known.map(|known| known.signals.clone()).unwrap_or_default()
        });
        if context.auto.decide(pool, &limits, heard, now) && triggers.send(ObjectRef::from_obj(&**pool)).await.is_err() {
            return;
        }
    }
    context.auto.keep(&known);
}
