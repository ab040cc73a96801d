//! A pod of the pool that is not on its way out.

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// How far it has come.
    pub stage: Stage,
    /// When it was made; only compared with other pods', so of any unit.
    pub made: i64,
    /// Its deletion cost, when it has one.
    pub cost: Option<i32>,
    /// What works in it.
    pub worker: Worker,
}

/// How far a pod has come, in the order in which a ReplicaSet takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// No node has it.
    Unplaced,
    /// Its containers do not run yet.
    Pending,
    /// Its node does not say.
    Unknown,
    /// It runs, and takes on no work, not yet or no longer.
    NotReady,
    /// It takes on work.
    Ready,
}

/// The worker in a pod, as the queue service knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worker {
    /// It has none of this pod.
    Absent,
    /// It does not say, or its workers have other names than their pods.
    Unknown,
    /// It has this one.
    Known(Session),
}

/// What the queue service knows of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id; of one that has begun anew there may be more, for some seconds.
    pub ids: Vec<String>,
    /// Turns that are leased to it.
    pub turns: u64,
    /// Activities that are leased to it.
    pub activities: u64,
    /// It is marked.
    pub draining: bool,
}

impl Pod {
    /// Its worker's session.
    pub(super) fn session(&self) -> Option<&Session> {
        match &self.worker {
            Worker::Known(session) => Some(session),
            Worker::Absent | Worker::Unknown => None,
        }
    }

    /// Whether it has never taken on work.
    pub(super) fn has_not_begun(&self) -> bool {
        self.worker == Worker::Absent && self.stage != Stage::Ready
    }

    /// Whether it has nothing, and takes on nothing.
    pub(super) fn has_finished(&self) -> bool {
        self.stage != Stage::Ready && self.work() == Some((0, 0))
    }

    /// What goes with it: activities, turns. Nobody knows it of one that takes on work without a worker that is known.
    pub(super) fn work(&self) -> Option<(u64, u64)> {
        match &self.worker {
            Worker::Known(session) => Some((session.activities, session.turns)),
            Worker::Absent if self.stage != Stage::Ready => Some((0, 0)),
            Worker::Absent | Worker::Unknown => None,
        }
    }
}
