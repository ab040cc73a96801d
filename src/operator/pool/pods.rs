//! Why pods are not ready, in the words of the pods themselves.

use k8s_openapi::api::core::v1::Pod;

use super::starts::Stage;
use crate::crd::resources::Reason;

/// What a container waits for when a person has to do something. The kubelet says `ErrImagePull` and `ImagePullBackOff` in turns.
const TROUBLE: &[(&str, Reason)] = &[
    ("ErrImagePull", Reason::ImagePullBackOff),
    ("ImagePullBackOff", Reason::ImagePullBackOff),
    ("InvalidImageName", Reason::InvalidImageName),
    ("ErrImageNeverPull", Reason::ErrImageNeverPull),
    ("CrashLoopBackOff", Reason::CrashLoopBackOff),
    ("CreateContainerConfigError", Reason::CreateContainerConfigError),
    ("CreateContainerError", Reason::CreateContainerError),
    ("RunContainerError", Reason::RunContainerError),
];

/// What keeps a pod from being ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) reason: Reason,
    pub(super) message: String,
    /// How many pods have some trouble, this one or another.
    pub(super) pods: u32,
    /// More room or time may help; the others need a person.
    pub(super) may_pass: bool,
}

/// The first trouble of the pods, a container's before a lack of room.
pub(super) fn trouble(pods: &[Pod]) -> Option<Trouble> {
    let first = pods.iter().find_map(of_containers).or_else(|| pods.iter().find_map(unschedulable))?;
    let pods = pods.iter().filter(|pod| is_in_trouble(pod)).count();
    Some(Trouble { pods: u32::try_from(pods).unwrap_or(u32::MAX), ..first })
}

/// Whether something keeps the pod from being ready that waiting alone may not mend.
fn is_in_trouble(pod: &Pod) -> bool {
    of_containers(pod).or_else(|| unschedulable(pod)).is_some()
}

/// Whether a pod takes on work.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// How far the start of a pod is.
pub(super) fn stage(pod: &Pod) -> Stage {
    match (is_ready(pod), is_in_trouble(pod)) {
        (true, _) => Stage::Ready,
        (false, true) => Stage::InTrouble,
        (false, false) => Stage::Starting,
    }
}

fn named(pod: &Pod, message: &str) -> String {
    format!("pod {}: {message}", pod.metadata.name.as_deref().unwrap_or_default())
}

fn of_containers(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.into_iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let (_, reason) = TROUBLE.iter().find(|(known, _)| waiting.reason.as_deref() == Some(*known))?;
        let message = match waiting.message.as_deref() {
            // Names and times in it change with every try.
            _ if *reason == Reason::CrashLoopBackOff => format!("container {} ends again and again: see `kubectl logs`", container.name),
            _ if *reason == Reason::ImagePullBackOff => {
                format!("image {} cannot be pulled: is the name right, and does the node reach it?", container.image)
            }
            Some(message) => message.to_owned(),
            None => format!("container {} does not start", container.name),
        };
        Some(Trouble { reason: reason.clone(), message: named(pod, &message), pods: 1, may_pass: false })
    })
}

fn unschedulable(pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| {
        condition.type_ == "PodScheduled" && condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = named(pod, found.message.as_deref().unwrap_or("no node has room for it"));
    Some(Trouble { reason: Reason::Unschedulable, message, pods: 1, may_pass: true })
}
