//! What `helm upgrade` cannot change, changed in the way of docs/install.md.

use crate::beside;
use crate::control_plane::control_plane;
use crate::helm::{chart, said, try_helm};
use crate::lifecycle::{NAMESPACE, apply, exists, get};
use crate::page::Page;

/// A class whose volumes can be made larger is the default, and has one.
pub fn a_volume_that_can_grow() {
    apply(
        r#"apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: growing, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: kubernetes.io/no-provisioner
allowVolumeExpansion: true
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: growing}
spec:
  storageClassName: growing
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  hostPath: {path: /nowhere}
"#,
    );
}

pub fn a_larger_volume_and_another_password(page: &Page) {
    let claim = || get(&["pvc", "data-everloop-redis-0"]);
    control_plane()
        .until("the claim has its volume", || exists(&["pvc", "data-everloop-redis-0"]) && claim()["status"]["phase"] == "Bound");
    // As after a change of a Secret that is read at the start; again later, and kubectl takes no two within a second.
    let service = || get(&["deployment", "everloop-queue"])["spec"]["template"].clone();
    let before = service();
    page.run("rollout restart deployment/everloop-queue");
    assert_ne!(service(), before, "its pods are made anew");
    let upgrade = |size: &str| {
        let size = format!("redis.storage.size={size}");
        try_helm(&["upgrade", "everloop", &chart(), "--namespace", NAMESPACE, "--reset-then-reuse-values", "--set", &size])
    };
    let refused = upgrade("9Gi");
    assert!(!refused.status.success() && said(&refused).contains("Forbidden"), "{}", said(&refused));
    page.run("kubectl -n everloop patch pvc data-everloop-redis-0");
    page.run("kubectl -n everloop delete statefulset everloop-redis --cascade=orphan");
    page.run("--set redis.storage.size=");
    assert_eq!(claim()["spec"]["resources"]["requests"]["storage"], "9Gi");
    let template = &get(&["statefulset", "everloop-redis"])["spec"]["volumeClaimTemplates"][0];
    assert_eq!(template["spec"]["resources"]["requests"]["storage"], "9Gi");

    // The Job makes the first one.
    let jobs = get(&["jobs"]);
    beside::run_job(NAMESPACE, &jobs["items"][0]);
    let password = || get(&["secret", "everloop-redis"])["data"]["password"].clone();
    let first = password();
    page.run("kubectl -n everloop delete secret everloop-redis");
    page.run("create secret generic everloop-redis");
    assert!(first.is_string() && password().is_string() && first != password());
    let template = |of: &[&str]| get(of)["spec"]["template"].clone();
    let before = [template(&["statefulset", "everloop-redis"]), template(&["deployment", "everloop-queue"])];
    page.run("rollout restart statefulset/everloop-redis");
    let after = [template(&["statefulset", "everloop-redis"]), template(&["deployment", "everloop-queue"])];
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "their pods are made anew");
}
