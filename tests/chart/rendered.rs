//! What the chart renders, with many values, is taken by a real API server into a namespace that enforces `restricted`.

use serde_json::Value;

use crate::control_plane::control_plane;
use crate::helm::{chart, find, objects, offline, render, repository, said};

/// Values of many kinds, by what they are for.
const MATRIX: &[(&str, &[&str])] = &[
    ("as it is", &[]),
    ("an image of one's own", &["image.repository=\"localhost/everloop\"", "image.tag=\"test\"", "image.pullPolicy=\"Never\""]),
    ("some namespaces", &["watchNamespaces=[\"chart-shop\",\"chart-kitchen\"]"]),
    ("a Redis elsewhere", &["redis.bundled=false", "redis.external.url=\"redis://redis.data:6379/3\""]),
    ("a Redis whose address is secret", &["redis.bundled=false", "redis.external.existingSecret.name=\"redis-address\""]),
    (
        "a Redis elsewhere over TLS",
        &[
            "redis.bundled=false",
            "redis.external={\"url\":\"rediss://ann@redis.data:6379\",\"password\":{\"secretName\":\"redis\"},\"tls\":{\"ca\":{\"secretName\":\"redis\"},\"client\":{\"secretName\":\"ours\"}}}",
        ],
    ),
    (
        "Sentinel",
        &[
            "redis.bundled=false",
            "durability=\"failover\"",
            "redis.external={\"url\":\"rediss+sentinel://a:26379,b:26379/main\",\"sentinelPassword\":{\"secretName\":\"sentinel\"}}",
        ],
    ),
    ("a Redis Cluster", &["redis.bundled=false", "durability=\"failover\"", "redis.external.url=\"redis+cluster://a:6379,b:6379\""]),
    ("no volume, a password of one's own", &["redis.storage.enabled=false", "redis.password={\"create\":false,\"secretName\":\"mine\"}"]),
    ("a storage class, another durability", &["redis.storage={\"className\":\"fast\",\"size\":\"100Gi\"}", "durability=\"everysec\""]),
    ("policies", &["networkPolicy.enabled=true", "networkPolicy.queueFrom=[{\"podSelector\":{}},{\"namespaceSelector\":{}}]"]),
    ("policies, a Redis elsewhere", &["networkPolicy.enabled=true", "redis.bundled=false", "redis.external.url=\"redis://r\""]),
    ("monitors", &["monitors={\"enabled\":true,\"interval\":\"10s\",\"labels\":{\"release\":\"prometheus\"}}"]),
    ("nothing that can be left out", &["crds.install=false", "rbac.aggregate=false", "defaultPool.create=false"]),
    ("definitions as ordinary objects", &["crds.hook=false"]),
    ("one of each", &["operator.replicas=1", "queue.replicas=1", "queue.partitions=1"]),
    (
        "where pods run",
        &[
            "queue.nodeSelector={\"disk\":\"fast\"}",
            "queue.tolerations=[{\"key\":\"dedicated\",\"operator\":\"Exists\"}]",
            "queue.affinity={\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"topologyKey\":\"kubernetes.io/hostname\",\"labelSelector\":{\"matchLabels\":{\"a\":\"b\"}}}]}}",
            "operator.podAnnotations={\"a.example/b\":\"c\"}",
            "queue.priorityClassName=\"system-cluster-critical\"",
            "redis.podAnnotations={\"a.example/b\":\"1\"}",
            "redis.nodeSelector={\"disk\":\"fast\"}",
            "image.pullSecrets=[{\"name\":\"pull\"}]",
        ],
    ),
];

pub fn with(values: &[&str]) -> String {
    let arguments: Vec<&str> = values.iter().flat_map(|value| ["--set-json", value]).collect();
    render(&arguments)
}

#[test]
fn helm_lints_it_strictly() {
    let output = offline(&["lint", "--strict", &chart()]);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), said(&output));
}

/// A monitor's definition, as far as the API server needs one.
fn monitors() {
    for (kind, plural) in [("ServiceMonitor", "servicemonitors"), ("PodMonitor", "podmonitors")] {
        let definition = format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.monitoring.coreos.com, annotations: {{api-approved.kubernetes.io: unapproved}}}}
spec:
  group: monitoring.coreos.com
  names: {{kind: {kind}, plural: {plural}}}
  scope: Namespaced
  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}}}]
"
        );
        apply(&definition, &["--server-side"]);
    }
    // Another test makes and deletes definitions of its own.
    let ours = ["crd/servicemonitors.monitoring.coreos.com", "crd/podmonitors.monitoring.coreos.com"];
    control_plane().kubectl(&[&["wait", "--for=condition=Established", "--timeout=30s"], &ours[..]].concat());
}

/// What kubectl says of it.
#[track_caller]
fn apply(documents: &str, more: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), documents).expect("a file");
    let path = file.path().display().to_string();
    let output = control_plane().try_kubectl(&[&["apply", "-f", &path], more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "kubectl apply {more:?}: {said}");
    said
}

/// A namespace in which pods that are not as `restricted` asks are refused, and warned of in what makes pods.
fn restricted_namespace(name: &str) {
    let labels: String = ["enforce", "warn", "audit"].map(|mode| format!("pod-security.kubernetes.io/{mode}: restricted")).join(", ");
    apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n"), &["--server-side"]);
}

#[test]
fn a_real_api_server_takes_all_of_it_with_many_values() {
    let _held = crate::definitions_of_the_cluster();
    monitors();
    for namespace in ["chart-matrix", "chart-shop", "chart-kitchen"] {
        restricted_namespace(namespace);
    }
    for (name, values) in MATRIX {
        // Another test installs into `everloop`.
        let rendering = with(values).replace("namespace: everloop\n", "namespace: chart-matrix\n");
        let warnings = apply(&rendering, &["--server-side", "--dry-run=server", "--force-conflicts"]);
        assert_eq!(warnings, "", "{name}");
    }
}

#[test]
fn the_samples_of_values_are_taken_too() {
    let _held = crate::definitions_of_the_cluster();
    monitors();
    for namespace in ["chart-samples", "shop", "kitchen"] {
        restricted_namespace(namespace);
    }
    let folder = std::fs::read_dir(repository("deploy/values")).expect("a folder");
    for file in folder.map(|entry| entry.expect("a file").path().display().to_string()) {
        let rendering = render(&["--values", &file]).replace("namespace: everloop\n", "namespace: chart-samples\n");
        assert_eq!(apply(&rendering, &["--server-side", "--dry-run=server", "--force-conflicts"]), "", "{file}");
    }
}

#[test]
fn the_manifest_without_helm_is_taken_too() {
    let _held = crate::definitions_of_the_cluster();
    restricted_namespace("chart-manifest");
    for file in ["deploy/install.yaml", "deploy/release-runs.yaml"] {
        let manifest =
            std::fs::read_to_string(repository(file)).expect("a file").replace("namespace: everloop\n", "namespace: chart-manifest\n");
        assert_eq!(apply(&manifest, &["--server-side", "--dry-run=server", "--force-conflicts"]), "", "{file}");
    }
}

#[test]
fn two_renderings_are_the_same_to_the_byte() {
    for (name, values) in MATRIX {
        assert_eq!(with(values), with(values), "{name}");
    }
}

/// Neither Helm nor kubectl can make a definition and an object of it at once.
#[test]
fn there_is_no_custom_resource_and_no_password_in_it() {
    for (name, values) in MATRIX {
        for object in objects(&with(values)) {
            assert!(!object["apiVersion"].as_str().expect("a version").starts_with("everloop.dev"), "{name}: {object}");
            assert_ne!(object["kind"], "Secret", "{name}");
        }
    }
}

#[test]
fn every_object_has_the_standard_labels_and_its_namespace() {
    for (name, values) in MATRIX {
        for object in objects(&with(values)) {
            let (kind, metadata) = (&object["kind"], &object["metadata"]);
            let labels = &metadata["labels"];
            for label in ["name", "component", "instance", "version", "part-of", "managed-by"] {
                assert!(labels[format!("app.kubernetes.io/{label}")].is_string(), "{name}: {kind} {} has no {label}", metadata["name"]);
            }
            let of_the_cluster = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"].map(Value::from).contains(kind);
            assert_eq!(of_the_cluster, metadata["namespace"].is_null(), "{name}: {kind} {}", metadata["name"]);
        }
    }
}

/// The pods of an object that has some.
fn pod(object: &Value) -> Option<&Value> {
    match object["kind"].as_str() {
        Some("Pod") => Some(&object["spec"]),
        Some("Deployment" | "StatefulSet" | "Job") => Some(&object["spec"]["template"]["spec"]),
        _ => None,
    }
}

#[test]
fn every_container_has_requests_a_limit_of_memory_and_no_way_to_write_or_to_grow() {
    for (name, values) in MATRIX {
        for object in objects(&with(values)) {
            let Some(pod) = pod(&object) else { continue };
            let security = &pod["securityContext"];
            assert_eq!((&security["runAsUser"], &security["runAsNonRoot"]), (&65532.into(), &true.into()), "{name}");
            assert_eq!(pod["enableServiceLinks"], false, "{name}: its variables begin as ours do");
            for container in pod["containers"].as_array().expect("containers") {
                let what = format!("{name}: {}", container["name"]);
                assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{what}");
                assert!(container["resources"]["requests"]["cpu"].is_string(), "{what}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{what}");
            }
        }
    }
}

#[test]
fn with_namespaces_named_the_operator_has_roles_and_no_rights_elsewhere() {
    let everywhere = objects(&with(&[]));
    assert_eq!(find(&everywhere, "ClusterRoleBinding", "everloop-operator")["subjects"][0]["namespace"], "everloop");
    let limited = objects(&with(&["watchNamespaces=[\"shop\",\"kitchen\"]"]));
    assert!(limited.iter().all(|object| object["kind"] != "ClusterRoleBinding"));
    let bindings = limited.iter().filter(|object| object["kind"] == "RoleBinding" && object["roleRef"]["name"] == "everloop-operator");
    let namespaces: Vec<_> = bindings.map(|binding| binding["metadata"]["namespace"].as_str().expect("a namespace")).collect();
    assert_eq!(namespaces, ["everloop", "kitchen", "shop"]);
    let operator = &find(&limited, "Deployment", "everloop-operator")["spec"]["template"]["spec"]["containers"][0];
    let watched = operator["env"].as_array().expect("variables").iter().find(|variable| variable["name"] == "EVERLOOP_WATCH_NAMESPACE");
    assert_eq!(watched.expect("it is told")["value"], "everloop,kitchen,shop");
}

/// The rules with which the operator's own tests run it.
#[test]
fn the_operator_gets_the_rules_of_the_file_that_its_tests_use() {
    let rules = objects(&std::fs::read_to_string(repository("deploy/operator-rbac.yaml")).expect("the rules"));
    let rendered = objects(&with(&[]));
    for (kind, name) in [("ClusterRole", "everloop-operator"), ("Role", "everloop-operator-installation")] {
        assert_eq!(find(&rendered, kind, name)["rules"], find(&rules, "ClusterRole", name)["rules"], "{name}");
    }
}

#[test]
fn budgets_count_what_may_be_away_and_hold_up_no_unhealthy_pod() {
    let budgets: Vec<_> = objects(&with(&[])).into_iter().filter(|object| object["kind"] == "PodDisruptionBudget").collect();
    assert_eq!(budgets.len(), 2);
    for budget in budgets {
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
        assert_eq!(budget["spec"]["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    }
}

/// What the chart packages is what is generated from the types: files of the chart are links to them.
#[test]
fn a_package_has_the_definitions_of_the_repository() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let output = offline(&["package", &chart(), "--destination", &path]);
    assert!(output.status.success(), "{}", said(&output));
    let package = folder.path().join(concat!("everloop-", env!("CARGO_PKG_VERSION"), ".tgz")).display().to_string();
    let packaged = offline(&["template", "everloop", &package, "--namespace", "everloop"]);
    assert_eq!(String::from_utf8_lossy(&packaged.stdout), with(&[]), "{}", said(&packaged));
    for crd in ["workflows", "workflowruns", "workerpools"] {
        let generated = objects(&std::fs::read_to_string(repository(&format!("crds/{crd}.yaml"))).expect("a definition"));
        let rendered = objects(&with(&[]));
        let rendered = find(&rendered, "CustomResourceDefinition", &format!("{crd}.everloop.dev"));
        assert_eq!(with_plain_numbers(&rendered["spec"]), with_plain_numbers(&generated[0]["spec"]), "{crd}");
    }
}

/// `1.0` and `1` are the same to the API server.
fn with_plain_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(items) => items.iter().map(with_plain_numbers).collect(),
        Value::Object(fields) => Value::Object(fields.iter().map(|(name, value)| (name.clone(), with_plain_numbers(value))).collect()),
        other => other.clone(),
    }
}
