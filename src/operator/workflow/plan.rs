//! What follows from a Workflow and what was found beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::definition::{Activity, Definition};
use crate::api::error::Finding;
use crate::api::{Code, DurationMs, Name, Problem, Version};
use crate::client::ClientError;
use crate::crd::resources::{OPEN_VERSIONS_MAX, OpenVersion, Reason, Standing, Workflow, WorkflowStatus};
use crate::crd::validate;
use crate::operator::context::in_words;
use crate::operator::pool::queue_pool;
use crate::operator::status::GRACE;

/// What is missing may come without telling us.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A pool that takes the workflow may stop doing so without telling us.
const LOOK_AT_POOL: Duration = Duration::from_mins(1);

/// What was observed.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Of the workflow.
    pub(super) age: Duration,
    pub(super) map_exists: bool,
    /// What stands at the key.
    pub(super) text: Option<String>,
    pub(super) pool: FoundPool,
}

/// The pool that a workflow names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FoundPool {
    /// One of its own namespace.
    Own,
    /// One of the installation's. `unheard`: that it is not for this namespace any more would not be told.
    Shared { unheard: bool },
    /// One of the installation's, which is not for this namespace.
    NotAllowed,
    /// There is none of that name.
    None { there_are: Vec<String> },
}

impl Default for FoundPool {
    fn default() -> Self {
        Self::None { there_are: Vec::new() }
    }
}

/// What goes to the queue service.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) namespace: Name,
    pub(super) workflow: crate::api::definition::Workflow,
    /// The sentence about a pool that is not there.
    pub(super) pool_missing: Option<Missing>,
    /// When all is well: when to look again all the same.
    look_again: Option<Duration>,
}

/// What is said of a pool that cannot take the workflow's runs.
#[derive(Debug, Clone)]
pub(super) struct Missing {
    reason: Reason,
    message: String,
    /// Of the workflow.
    age: Duration,
}

/// What is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    standing: Standing,
    pub(super) reason: Reason,
    pub(super) message: String,
    version: Option<Version>,
    pub(super) look_again: Option<Duration>,
}

impl Verdict {
    pub(super) fn ready(version: Version) -> Self {
        let message = format!("new runs are of version {}", version.short());
        Self { standing: Standing::READY, reason: Reason::Applied, message, version: Some(version), look_again: None }
    }

    fn stalled(reason: Reason, message: String) -> Self {
        Self { standing: Standing::STALLED, reason, message, version: None, look_again: None }
    }

    /// Something is missing: on its way while the object is young, then a person's business.
    fn missing(reason: Reason, message: String, age: Duration) -> Self {
        if age < GRACE {
            let look_again = Some(GRACE.saturating_sub(age).min(LOOK_AGAIN));
            return Self { standing: Standing::RECONCILING, look_again, ..Self::stalled(reason, message) };
        }
        Self { look_again: Some(LOOK_AGAIN), ..Self::stalled(reason, message) }
    }

    /// The queue service has it, in this version.
    pub(super) fn applied(version: Version, planned: Planned) -> Self {
        let ready = Self { look_again: planned.look_again, ..Self::ready(version) };
        match planned.pool_missing {
            Some(Missing { reason, message, age }) => Self { version: ready.version, ..Self::missing(reason, message, age) },
            None => ready,
        }
    }

    /// The code has a mistake.
    pub(super) fn invalid_source(finding: &Finding) -> Self {
        Self::stalled(Reason::InvalidSource, found_at(finding))
    }

    /// Whoever read the code died of it.
    pub(super) fn too_complex(how: &str) -> Self {
        let message = format!("the code cannot be read: {how}; make it shorter or less deeply nested, or split it");
        Self { look_again: Some(LOOK_AGAIN), ..Self::stalled(Reason::SourceTooComplex, message) }
    }

    /// The queue service does not want it.
    pub(super) fn refused(problem: &Problem) -> Self {
        match problem.code {
            // Whoever holds it may give it up without telling us.
            Code::WorkflowHeld => Self { look_again: Some(LOOK_AGAIN), ..Self::stalled(Reason::WorkflowHeld, in_words(problem)) },
            _ => Self::stalled(Reason::Refused, in_words(problem)),
        }
    }

    /// The queue service does not answer.
    pub(super) fn away(error: &ClientError) -> Self {
        Self { standing: Standing::RECONCILING, ..Self::stalled(Reason::QueueServiceAway, format!("{error}; trying again")) }
    }
}

/// The definition for the queue service, whose code nobody has read yet, or what is wrong with the object.
pub(super) fn plan(workflow: &Workflow, found: &Found, installation: &Name) -> Result<Planned, Verdict> {
    let wrong = |what: String| Verdict::stalled(Reason::InvalidSpec, what);
    let name = |text: &str| text.parse::<Name>().map_err(|e| wrong(e.to_string()));
    let namespace = name(workflow.metadata.namespace.as_deref().unwrap_or_default())?;
    let definition = Definition { source: source(workflow, found)?, activities: activities(workflow)? };
    if let Some(broken) = validate(&definition).first() {
        return Err(wrong(join(&format!("`{}` {}", broken.path, broken.message), &broken.help)));
    }
    let retention = workflow.spec.retention.as_deref().map(str::parse::<DurationMs>).transpose();
    let retention = retention.map_err(|e| wrong(format!("`spec.retention`: {e}")))?;
    let wanted = &workflow.spec.pool;
    let place = match found.pool {
        // One that is not for it must not get its runs: they wait for one of its own.
        FoundPool::Own | FoundPool::NotAllowed => &namespace,
        FoundPool::Shared { .. } | FoundPool::None { .. } => installation,
    };
    let pool = queue_pool(place.as_str(), &name(wanted)?, installation);
    let missing = |reason, message| Some(Missing { reason, message, age: found.age });
    let pool_missing = match &found.pool {
        FoundPool::Own | FoundPool::Shared { .. } => None,
        FoundPool::NotAllowed => missing(Reason::PoolNotAllowed, not_allowed(wanted, &namespace, installation)),
        FoundPool::None { there_are } => missing(Reason::PoolNotFound, no_such_pool(wanted, there_are)),
    };
    let workflow = crate::api::definition::Workflow {
        name: name(workflow.metadata.name.as_deref().unwrap_or_default())?,
        pool,
        definition,
        retention,
    };
    let look_again = (found.pool == FoundPool::Shared { unheard: true }).then_some(LOOK_AT_POOL);
    Ok(Planned { namespace, workflow, pool_missing, look_again })
}

fn not_allowed(wanted: &str, namespace: &Name, installation: &Name) -> String {
    format!(
        "the WorkerPool {wanted:?} of namespace {installation} is not for workflows of {namespace}: change its `spec.allowedNamespaces`, or make a pool in {namespace}; runs are accepted and wait"
    )
}

fn no_such_pool(wanted: &str, there_are: &[String]) -> String {
    let mut known: Vec<&str> = there_are.iter().map(String::as_str).collect();
    known.sort_unstable();
    known.dedup();
    let known = if known.is_empty() { "there is none at all".to_owned() } else { format!("there are: {}", known.join(", ")) };
    format!("no WorkerPool {wanted:?} ({known}); runs are accepted and wait until one appears")
}

fn source(workflow: &Workflow, found: &Found) -> Result<String, Verdict> {
    let source = &workflow.spec.source;
    match (&source.inline, &source.config_map_key_ref) {
        (Some(inline), None) => Ok(inline.clone()),
        (None, Some(reference)) => found.text.clone().ok_or_else(|| {
            let what = if found.map_exists { format!("has no key {:?}", reference.key) } else { "does not exist".to_owned() };
            let message = format!("ConfigMap {:?} {what}; the version before stays in force", reference.name);
            Verdict::missing(Reason::ConfigMapNotFound, message, found.age)
        }),
        _ => Err(Verdict::stalled(Reason::InvalidSpec, "`spec.source`: give exactly one of `inline` and `configMapKeyRef`".to_owned())),
    }
}

fn activities(workflow: &Workflow) -> Result<BTreeMap<String, Activity>, Verdict> {
    let read = |(name, value): (&String, &serde_json::Value)| match serde_json::from_value(value.clone()) {
        Ok(activity) => Ok((name.clone(), activity)),
        Err(error) => Err(Verdict::stalled(Reason::InvalidSpec, format!("`spec.activities.{name}`: {error}"))),
    };
    workflow.spec.activities.iter().map(read).collect()
}

fn found_at(finding: &Finding) -> String {
    let place = if finding.line > 0 { format!("{}:{}:{}", finding.place, finding.line, finding.column) } else { finding.place.clone() };
    join(&format!("{place}: {}", finding.message), &finding.help)
}

fn join(what: &str, help: &str) -> String {
    if help.is_empty() { what.to_owned() } else { format!("{what}; {help}") }
}

/// The status after a verdict. The version of which new runs are stays when there is no new one, and so do numbers of open runs.
pub(super) fn status(workflow: &Workflow, verdict: &Verdict, open: Option<Vec<OpenVersion>>, now: &str) -> WorkflowStatus {
    let generation = workflow.metadata.generation.unwrap_or(0);
    let before = workflow.status.clone().unwrap_or_default();
    let mut next = WorkflowStatus { observed_generation: generation, ..before };
    next.conditions.stand(verdict.standing, &verdict.reason, &verdict.message, generation, now);
    if let Some(version) = &verdict.version {
        (next.version, next.version_short) = (Some(version.to_string()), Some(version.short().to_owned()));
    }
    if let Some(mut open) = open {
        next.open_runs = Some(open.iter().map(|version| version.open_runs).sum());
        open.truncate(OPEN_VERSIONS_MAX);
        next.open_versions = open;
    }
    next
}
