//! The image by itself.

use std::process::Command;

use crate::cluster::{EVERLOOP, answer, archive, cluster};
use crate::namespace::Namespace;

const QUEUE: &str = "apiVersion: v1
kind: Pod
metadata: {name: queue, labels: {app: queue}}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: queue
      image: IMAGE
      args: [queue, --listen, '0.0.0.0:7400', --store, memory]
      readinessProbe: {httpGet: {path: /readyz, port: 7400}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: queue}
spec: {selector: {app: queue}, ports: [{port: 7400}]}
";

#[tokio::test]
async fn the_image_is_small_and_runs_under_the_strictest_standard() {
    let namespace = Namespace::new("image");
    namespace.apply(&QUEUE.replace("IMAGE", EVERLOOP));
    // The image says itself that its user is not root, or the kubelet would refuse it.
    namespace.until("the pod is ready", "pod/queue", |pod| pod["status"]["containerStatuses"][0]["ready"] == true);
    let url = cluster().reach("image", "queue", 7400).await;
    answer(&format!("{url}/readyz")).await;
}

#[test]
fn the_image_takes_little_room() {
    // Each layer of the archive, unpacked; blobs that are not layers are no gzip files and count nothing.
    let script = "for blob in $(tar -tf \"$1\" | grep blobs/sha256/.); do tar -xOf \"$1\" $blob | gzip -dc 2>/dev/null; done | wc -c";
    let archive = archive("everloop");
    let output = Command::new("sh").args(["-c", script, "sh", &archive]).output().expect("sh runs");
    let bytes: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
    assert!((20_000_000..80_000_000).contains(&bytes), "{archive} has {bytes} bytes, unpacked");
}
