//! A person's part of the pod template, laid over ours as `kubectl patch --type=strategic` would: maps are merged, the lists that
//! Kubernetes merges are merged by their keys, everything else is replaced.
//!
//! Creating a pool must not be more than creating a pod where the standard `restricted` is enforced: what is weaker is refused here,
//! whatever the namespace enforces. What the operator needs for its work cannot be set.

use serde_json::{Map, Value, json};

/// Lists that are merged, by field, and the keys of their items: from the `patchMergeKey`s of `PodSpec` in Kubernetes 1.34.
const MERGED_LISTS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("ports", &["containerPort", "protocol"]),
    ("imagePullSecrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
];

/// The worker's container.
pub(super) const WORKER: &str = "worker";

/// What the operator alone says of the worker's container and of the pod.
const OURS_IN_WORKER: &[&str] = &["args", "command", "image", "livenessProbe", "readinessProbe", "startupProbe", "resources", "lifecycle"];
const OURS_IN_POD: &[&str] = &[
    "automountServiceAccountToken",
    "enableServiceLinks",
    "nodeSelector",
    "restartPolicy",
    "serviceAccount",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
];

/// Capabilities that the standard lets a container add.
const CAPABILITIES_ALLOWED: &[&str] = &["NET_BIND_SERVICE"];

/// Our template with theirs over it.
///
/// # Errors
/// What is wrong with theirs, with the path of the field.
pub(super) fn laid_over(ours: &Value, theirs: &Value) -> Result<Value, String> {
    if let Some(path) = find_directive(theirs, "template") {
        return Err(format!("`{path}`: directives such as `$patch` are not known here; write the whole list"));
    }
    refuse_ours(ours, theirs)?;
    let mut merged = merge("", ours, theirs);
    for list in ["containers", "initContainers"] {
        for container in merged["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let hardened = merge("", &hardened(), &container["securityContext"]);
            container["securityContext"] = hardened;
        }
    }
    if let Some(name) = weak_annotation(&merged["metadata"]["annotations"]) {
        return Err(weaker(&format!("metadata.annotations[{name}]")));
    }
    refuse_weaker(&merged["spec"])?;
    Ok(merged)
}

/// What every container has unless it says otherwise.
pub(super) fn hardened() -> Value {
    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
}

fn find_directive(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            if name.starts_with('$') { Some(path) } else { find_directive(value, &path) }
        }),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| find_directive(item, &format!("{path}[{index}]"))),
        _ => None,
    }
}

fn refuse_ours(ours: &Value, theirs: &Value) -> Result<(), String> {
    let set = |path: String| Err(format!("`{path}` is set by the operator: see the fields of the pool itself"));
    for name in OURS_IN_POD {
        if !theirs["spec"][name].is_null() {
            return set(format!("template.spec.{name}"));
        }
    }
    for name in ours["metadata"]["labels"].as_object().into_iter().flatten().map(|(name, _)| name) {
        if !theirs["metadata"]["labels"][name].is_null() {
            return set(format!("template.metadata.labels[{name}]"));
        }
    }
    let of = |template: &Value| template["spec"]["containers"].as_array().cloned().unwrap_or_default();
    for container in of(theirs).iter().filter(|container| container["name"] == WORKER) {
        for name in OURS_IN_WORKER {
            if !container[name].is_null() {
                return set(format!("template.spec.containers[{WORKER}].{name}"));
            }
        }
        let names: Vec<Value> = of(ours)[0]["env"].as_array().into_iter().flatten().map(|env| env["name"].clone()).collect();
        if let Some(env) = container["env"].as_array().into_iter().flatten().find(|env| names.contains(&env["name"])) {
            return set(format!("template.spec.containers[{WORKER}].env[{}]", env["name"].as_str().unwrap_or_default()));
        }
    }
    Ok(())
}

/// `field` is the name of the field that holds the values.
fn merge(field: &str, ours: &Value, theirs: &Value) -> Value {
    match (ours, theirs) {
        (ours, Value::Null) => ours.clone(),
        (Value::Object(ours), Value::Object(theirs)) => Value::Object(merge_maps(ours, theirs)),
        (Value::Array(ours), Value::Array(theirs)) => match MERGED_LISTS.iter().find(|(name, _)| *name == field) {
            Some((_, keys)) => Value::Array(merge_lists(keys, ours, theirs)),
            None => Value::Array(theirs.clone()),
        },
        (_, theirs) => theirs.clone(),
    }
}

fn merge_maps(ours: &Map<String, Value>, theirs: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = ours.clone();
    for (name, value) in theirs {
        let value = merge(name, ours.get(name).unwrap_or(&Value::Null), value);
        merged.insert(name.clone(), value);
    }
    merged
}

fn merge_lists(keys: &[&str], ours: &[Value], theirs: &[Value]) -> Vec<Value> {
    let same = |a: &Value, b: &Value| keys.iter().all(|key| a[key] == b[key]);
    let mut merged = ours.to_vec();
    for item in theirs {
        match merged.iter_mut().find(|known| same(known, item)) {
            Some(known) => *known = merge("", known, item),
            None => merged.push(item.clone()),
        }
    }
    merged
}

/// Kinds of volumes that the standard allows.
const VOLUMES: &[&str] = &["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

fn weaker(path: &str) -> String {
    format!("`template.{path}` is more than the Pod Security standard `restricted` allows")
}

/// The controls of the Pod Security standard `restricted`, of Kubernetes 1.34.
fn refuse_weaker(pod: &Value) -> Result<(), String> {
    let weaker = |path: String| Err(weaker(&format!("spec.{path}")));
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[name] == true {
            return weaker(name.to_owned());
        }
    }
    if !pod["ephemeralContainers"].is_null() {
        return weaker("ephemeralContainers".to_owned());
    }
    for (index, volume) in pod["volumes"].as_array().into_iter().flatten().enumerate() {
        if volume.as_object().into_iter().flatten().any(|(kind, _)| kind != "name" && !VOLUMES.contains(&kind.as_str())) {
            return weaker(format!("volumes[{index}]"));
        }
    }
    weak_context(&pod["securityContext"]).map_or(Ok(()), |name| weaker(format!("securityContext.{name}")))?;
    for list in ["containers", "initContainers"] {
        for container in pod[list].as_array().into_iter().flatten() {
            let place = format!("{list}[{}]", container["name"].as_str().unwrap_or_default());
            let context = &container["securityContext"];
            if let Some(name) = weak_context(context).or_else(|| weak_container(context)) {
                return weaker(format!("{place}.securityContext.{name}"));
            }
            if let Some(path) = other_host(container) {
                return weaker(format!("{place}.{path}"));
            }
            if container["ports"].as_array().into_iter().flatten().any(|port| port["hostPort"].as_u64().is_some_and(|port| port > 0)) {
                return weaker(format!("{place}.ports"));
            }
        }
    }
    Ok(())
}

/// A probe or a handler that names a host: the kubelet would send its requests there, from the node.
fn other_host(container: &Value) -> Option<String> {
    let places = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle/postStart", "lifecycle/preStop"];
    places.iter().flat_map(|place| ["httpGet", "tcpSocket"].map(|how| format!("/{place}/{how}/host"))).find_map(|pointer| {
        let host = container.pointer(&pointer).filter(|host| !host.is_null() && *host != "")?;
        Some(format!("{} ({host})", pointer[1..].replace('/', ".")))
    })
}

/// The annotations by which AppArmor was set before it had a field.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

fn weak_annotation(annotations: &Value) -> Option<&str> {
    let mut weak = annotations.as_object().into_iter().flatten().filter(|(name, profile)| {
        let profile = profile.as_str().unwrap_or_default();
        name.starts_with(APP_ARMOR) && !profile.is_empty() && profile != "runtime/default" && !profile.starts_with("localhost/")
    });
    weak.next().map(|(name, _)| name.as_str())
}

/// A field of a pod's or a container's context that is too weak.
fn weak_context(context: &Value) -> Option<&'static str> {
    let seccomp = &context["seccompProfile"]["type"];
    [
        ("runAsNonRoot", context["runAsNonRoot"] == false),
        ("runAsUser", context["runAsUser"] == 0),
        ("seccompProfile", !seccomp.is_null() && seccomp != "RuntimeDefault" && seccomp != "Localhost"),
        ("sysctls", context["sysctls"].as_array().is_some_and(|list| !list.is_empty())),
        ("seLinuxOptions", !context["seLinuxOptions"].is_null()),
        ("appArmorProfile", context["appArmorProfile"]["type"] == "Unconfined"),
        ("windowsOptions", !context["windowsOptions"].is_null()),
    ]
    .into_iter()
    .find_map(|(name, weak)| weak.then_some(name))
}

fn weak_container(context: &Value) -> Option<&'static str> {
    let added = context["capabilities"]["add"].as_array().cloned().unwrap_or_default();
    let dropped = context["capabilities"]["drop"].as_array().cloned().unwrap_or_default();
    [
        ("privileged", context["privileged"] == true),
        ("allowPrivilegeEscalation", context["allowPrivilegeEscalation"] != false),
        ("procMount", !context["procMount"].is_null() && context["procMount"] != "Default"),
        ("capabilities.add", added.iter().any(|name| !name.as_str().is_some_and(|name| CAPABILITIES_ALLOWED.contains(&name)))),
        ("capabilities.drop", !dropped.contains(&json!("ALL"))),
    ]
    .into_iter()
    .find_map(|(name, weak)| weak.then_some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Value {
        json!({
            "metadata": {"labels": {"everloop.dev/pool": "big"}},
            "spec": {
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "worker", "env": [{"name": "EVERLOOP_POOL", "value": "big"}], "securityContext": hardened()}],
            },
        })
    }

    #[test]
    fn lists_are_merged_by_their_keys_and_all_else_is_replaced() {
        let theirs = json!({
            "metadata": {"labels": {"team": "shop"}, "annotations": {"a": "b"}},
            "spec": {
                "tolerations": [{"key": "gpu"}],
                "volumes": [{"name": "cache", "emptyDir": {}}],
                "containers": [
                    {"name": "worker", "env": [{"name": "TZ", "value": "UTC"}], "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]},
                    {"name": "proxy", "image": "proxy:1"},
                ],
            },
        });
        let merged = laid_over(&ours(), &theirs).unwrap();
        assert_eq!(merged["metadata"]["labels"], json!({"everloop.dev/pool": "big", "team": "shop"}));
        let containers = merged["spec"]["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 2);
        assert_eq!(containers[0]["env"], json!([{"name": "EVERLOOP_POOL", "value": "big"}, {"name": "TZ", "value": "UTC"}]));
        assert_eq!(containers[0]["volumeMounts"][0]["mountPath"], "/cache");
        assert_eq!(containers[1]["securityContext"], hardened(), "a container beside ours is as hard");
        assert_eq!(merged["spec"]["tolerations"], json!([{"key": "gpu"}]));
        assert_eq!(laid_over(&ours(), &json!({})).unwrap(), ours());
    }

    #[test]
    fn what_is_weaker_or_ours_is_refused_with_its_path() {
        let worker = |fields: Value| {
            let mut container = json!({"name": "worker"});
            container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            json!({"spec": {"containers": [container]}})
        };
        let context = |context: Value| json!({"spec": {"securityContext": context}});
        let proxy = |fields: Value| {
            let mut template = worker(fields);
            template["spec"]["containers"][0]["name"] = json!("proxy");
            template
        };
        let app_armor = "container.apparmor.security.beta.kubernetes.io/worker";
        let beside = |context: Value| json!({"spec": {"initContainers": [{"name": "init", "image": "i", "securityContext": context}]}});
        let table = [
            (json!({"spec": {"$patch": "replace"}}), "template.spec.$patch"),
            (json!({"spec": {"hostNetwork": true}}), "template.spec.hostNetwork"),
            (json!({"spec": {"hostPID": true}}), "template.spec.hostPID"),
            (json!({"spec": {"hostIPC": true}}), "template.spec.hostIPC"),
            (json!({"spec": {"ephemeralContainers": [{"name": "debug"}]}}), "template.spec.ephemeralContainers"),
            (context(json!({"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})), "template.spec.securityContext.sysctls"),
            (context(json!({"seLinuxOptions": {"user": "root"}})), "template.spec.securityContext.seLinuxOptions"),
            (context(json!({"appArmorProfile": {"type": "Unconfined"}})), "template.spec.securityContext.appArmorProfile"),
            (context(json!({"windowsOptions": {"hostProcess": true}})), "template.spec.securityContext.windowsOptions"),
            (context(json!({"runAsUser": 0})), "template.spec.securityContext.runAsUser"),
            (json!({"metadata": {"annotations": {app_armor: "unconfined"}}}), &format!("template.metadata.annotations[{app_armor}]")),
            (json!({"spec": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}}), "template.spec.volumes[0]"),
            (json!({"spec": {"securityContext": {"runAsNonRoot": false}}}), "template.spec.securityContext.runAsNonRoot"),
            (json!({"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}}), "securityContext.seccompProfile"),
            (json!({"spec": {"terminationGracePeriodSeconds": 1}}), "template.spec.terminationGracePeriodSeconds"),
            (json!({"spec": {"serviceAccountName": "admin"}}), "template.spec.serviceAccountName"),
            (json!({"metadata": {"labels": {"everloop.dev/pool": "small"}}}), "template.metadata.labels[everloop.dev/pool]"),
            (worker(json!({"command": ["sh"]})), "template.spec.containers[worker].command"),
            (worker(json!({"readinessProbe": {}})), "template.spec.containers[worker].readinessProbe"),
            (worker(json!({"env": [{"name": "EVERLOOP_POOL", "value": "x"}]})), "template.spec.containers[worker].env[EVERLOOP_POOL]"),
            (worker(json!({"securityContext": {"privileged": true}})), "containers[worker].securityContext.privileged"),
            (worker(json!({"securityContext": {"runAsUser": 0}})), "containers[worker].securityContext.runAsUser"),
            (worker(json!({"ports": [{"containerPort": 1, "hostPort": 1}]})), "containers[worker].ports"),
            (worker(json!({"securityContext": {"procMount": "Unmasked"}})), "containers[worker].securityContext.procMount"),
            (worker(json!({"securityContext": {"seLinuxOptions": {"type": "x"}}})), "containers[worker].securityContext.seLinuxOptions"),
            (
                proxy(json!({"livenessProbe": {"httpGet": {"port": 80, "host": "10.0.0.1"}}})),
                "containers[proxy].livenessProbe.httpGet.host",
            ),
            (proxy(json!({"readinessProbe": {"tcpSocket": {"port": 80, "host": "x"}}})), "containers[proxy].readinessProbe.tcpSocket.host"),
            (proxy(json!({"startupProbe": {"httpGet": {"port": 80, "host": "x"}}})), "containers[proxy].startupProbe.httpGet.host"),
            (proxy(json!({"lifecycle": {"preStop": {"tcpSocket": {"port": 1, "host": "x"}}}})), "proxy].lifecycle.preStop.tcpSocket.host"),
            (proxy(json!({"lifecycle": {"postStart": {"httpGet": {"port": 1, "host": "x"}}}})), "proxy].lifecycle.postStart.httpGet.host"),
            (beside(json!({"allowPrivilegeEscalation": true})), "initContainers[init].securityContext.allowPrivilegeEscalation"),
            (beside(json!({"capabilities": {"add": ["SYS_ADMIN"]}})), "initContainers[init].securityContext.capabilities.add"),
            (beside(json!({"capabilities": {"drop": ["CHOWN"]}})), "initContainers[init].securityContext.capabilities.drop"),
        ];
        for (theirs, path) in table {
            let error = laid_over(&ours(), &theirs).unwrap_err();
            assert!(error.contains(path), "{path} is not in {error}");
        }
        let allowed = proxy(json!({"livenessProbe": {"httpGet": {"port": 80, "host": ""}}, "readinessProbe": {"tcpSocket": {"port": 80}}}));
        assert!(laid_over(&ours(), &allowed).is_ok(), "a probe of the pod itself");
    }
}
