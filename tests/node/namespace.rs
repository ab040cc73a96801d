//! A namespace of a test: where it applies its objects and waits for what comes of them. When something does not come in time, the
//! failure tells what the pods say.

use std::time::Instant;

use serde_json::Value;

use crate::cluster::{PATIENCE, cluster};

pub struct Namespace(pub String);

impl Namespace {
    /// An empty one, in which only pods of the strictest standard are admitted.
    pub fn new(name: &str) -> Self {
        // Somebody else's cluster may have it from the last time.
        cluster().kubectl(&["delete", "namespace", name, "--ignore-not-found", "--timeout=2m"]);
        cluster().kubectl(&["create", "namespace", name]);
        cluster().kubectl(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"]);
        Self(name.to_owned())
    }

    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        cluster().kubectl(&[&["--namespace", &self.0], arguments].concat())
    }

    /// Applies documents, as a user would.
    #[track_caller]
    pub fn apply(&self, documents: &str) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), documents).expect("a file");
        self.kubectl(&["apply", "-f", &file.path().display().to_string()]);
    }

    /// An object, or a list of a kind; null when there is none.
    pub fn get(&self, what: &str) -> Value {
        let output = cluster().try_kubectl(&["--namespace", &self.0, "get", what, "-o", "json"]);
        if output.status.success() { serde_json::from_slice(&output.stdout).expect("JSON") } else { Value::Null }
    }

    /// Names of the pods with a label that are not on their way out.
    pub fn pods(&self, label: &str) -> Vec<String> {
        let list = self.kubectl(&["get", "pods", "--selector", label, "-o", "json"]);
        let list: Value = serde_json::from_str(&list).expect("JSON");
        let stays = |pod: &&Value| pod["metadata"]["deletionTimestamp"].is_null();
        let pods = list["items"].as_array().into_iter().flatten().filter(stays);
        pods.map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
    }

    /// Waits until an object is as it should be.
    #[track_caller]
    pub fn until(&self, what: &str, object: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.get(object);
            if holds(&found) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}; the status of {object}: {:#}\n{}",
                found["status"],
                self.report()
            );
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// Waits until all pods of a Deployment or StatefulSet are there, of its newest template, and ready.
    #[track_caller]
    pub fn until_ready(&self, object: &str) {
        self.until(&format!("{object} is ready"), object, |found| {
            let (spec, status) = (&found["spec"], &found["status"]);
            let all = |field: &str| status[field].as_u64().unwrap_or(0) == spec["replicas"].as_u64().unwrap_or(1);
            status["observedGeneration"] == found["metadata"]["generation"]
                && all("replicas")
                && all("readyReplicas")
                && all("updatedReplicas")
        });
    }

    /// Waits until the only container of a pod, which was killed, is ready again.
    #[track_caller]
    pub fn until_restarted(&self, pod: &str) {
        self.until(&format!("{pod} is ready again"), pod, |found| {
            let container = &found["status"]["containerStatuses"][0];
            // In somebody else's cluster the pod was deleted, and this is another one.
            container["ready"] == true && (container["restartCount"] != 0 || !cluster().is_ours())
        });
    }

    /// Waits for a condition of one of our resources.
    #[track_caller]
    pub fn until_condition(&self, object: &str, kind: &str, status: &str) -> Value {
        self.until(&format!("{object} has {kind}={status}"), object, |found| {
            let mut conditions = found["status"]["conditions"].as_array().into_iter().flatten();
            found["status"]["observedGeneration"] == found["metadata"]["generation"]
                && conditions.any(|condition| condition["type"] == kind && condition["status"] == status)
        })
    }

    /// What the pods say of themselves, for a failure.
    pub fn report(&self) -> String {
        let ask = |arguments: &[&str]| {
            let output = cluster().try_kubectl(&[&["--namespace", self.0.as_str()], arguments].concat());
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let mut report = ask(&["get", "pods", "-o", "wide"]);
        report += &ask(&["get", "events", "--sort-by=.lastTimestamp", "--field-selector=type=Warning"]);
        for pod in ask(&["get", "pods", "-o", "name"]).lines() {
            report += &format!("--- {pod}\n{}", ask(&["logs", pod, "--all-containers", "--tail=15"]));
            let before = ask(&["logs", pod, "--all-containers", "--tail=15", "--previous"]);
            if !before.is_empty() {
                report += &format!("--- {pod}, the container before\n{before}");
            }
        }
        report
    }
}
