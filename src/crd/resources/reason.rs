//! Reasons of conditions: a closed list, each with its row in `docs/kubernetes.md`. Within `v1alpha1` none is renamed.

use std::fmt;

use crate::api::{Code, RunStatus};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// See the module.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// A refusal of the queue service, of docs/errors.md.
            Refusal(Code),
            /// How a run is.
            Run(RunStatus),
            /// Why a run stands still until a person acts: the queue service's own word.
            Blocked(String),
        }

        impl Reason {
            /// Those that are the operator's own.
            pub const OWN: &'static [Self] = &[$(Self::$name,)*];

            /// The word that stands in the condition.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Refusal(code) => code.as_str(),
                    Self::Run(status) => status.as_str(),
                    Self::Blocked(reason) => reason,
                }
            }
        }
    };
}

reasons! {
    /// New runs start on the version of the status.
    Applied,
    /// The code has a mistake.
    InvalidSource,
    /// A field is wrong in a way that the API server did not see.
    InvalidSpec,
    /// No such ConfigMap, or no such key in it.
    ConfigMapNotFound,
    /// No such WorkerPool.
    PoolNotFound,
    /// The installation's pool is not for this namespace.
    PoolNotAllowed,
    /// The process that read the code died.
    SourceTooComplex,
    /// The queue service does not take the definition.
    Refused,
    /// Somebody else holds the definition.
    WorkflowHeld,
    /// It does not answer.
    QueueServiceAway,
    /// The run has begun.
    Accepted,
    /// The run is held by this object.
    SuspendRequested,
    /// It is not any more.
    SuspendTakenBack,
    /// The run was asked to end.
    CancelRequested,
    /// As many pods as wanted.
    PodsReady,
    /// No pods, as wanted.
    ScaledToZero,
    /// On the way.
    PodsStarting,
    /// Pods finish what they have and then go.
    Draining,
    /// Not ready within the Deployment's deadline.
    PodsNotReady,
    /// No pod can be made.
    PodsRefused,
    /// A pod's own word.
    ImagePullBackOff,
    /// A pod's own word.
    InvalidImageName,
    /// A pod's own word.
    ErrImageNeverPull,
    /// A pod's own word.
    CrashLoopBackOff,
    /// A pod's own word.
    CreateContainerConfigError,
    /// A pod's own word.
    CreateContainerError,
    /// A pod's own word.
    RunContainerError,
    /// A pod's own word.
    Unschedulable,
    /// The number of pods follows the work.
    FollowsTheWork,
    /// Another program decides, and is told how many the work wants.
    NumberPublished,
    /// It does not: `spec.replicas` is the number.
    NotAuto,
    /// No signal of the queue service has come yet.
    SignalUnknown,
    /// None has come for long.
    SignalOld,
    /// Pods cannot start, and no more are asked for than make sense.
    PodsStuck,
    /// The work needs more than `max`.
    AtMax,
    /// Work waits although slots are free.
    NotForLackOfPods,
    /// The target is shorter than the start of a pod.
    TargetBelowStart,
    /// To be rolled to another image, after the queue service and other pools.
    WaitsForItsTurn,
    /// An object of that name belongs to somebody else.
    NameTaken,
    /// Somebody changes a field again and again.
    FieldConflict,
    /// The operator may not make what the pool needs.
    Forbidden,
}

impl From<Code> for Reason {
    fn from(code: Code) -> Self {
        Self::Refusal(code)
    }
}

impl From<RunStatus> for Reason {
    fn from(status: RunStatus) -> Self {
        Self::Run(status)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
