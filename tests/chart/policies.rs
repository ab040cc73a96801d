//! Whom the NetworkPolicies let in. Nothing enforces them here: they are read as Kubernetes defines them.

use serde_json::{Value, json};

use crate::helm::{find, objects};
use crate::rendered::with;

/// Whether a selector takes something with these labels. One that is not there says nothing of it.
fn takes(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten().all(|(name, value)| labels[name] == *value);
    let in_list = |one: &Value| {
        assert_eq!(one["operator"], "In", "this is all that is read here: {one}");
        one["values"].as_array().expect("values").contains(&labels[one["key"].as_str().expect("a key")])
    };
    equal && selector["matchExpressions"].as_array().into_iter().flatten().all(in_list)
}

/// Whether a policy of the chart lets in a pod with these labels, of a namespace.
fn lets_in(policy: &Value, namespace: &str, labels: &Value) -> bool {
    let of_namespace = json!({"kubernetes.io/metadata.name": namespace});
    policy["spec"]["ingress"].as_array().expect("rules").iter().any(|rule| {
        let Some(peers) = rule["from"].as_array().filter(|peers| !peers.is_empty()) else { return true };
        peers.iter().any(|peer| {
            let there = match &peer["namespaceSelector"] {
                Value::Null => policy["metadata"]["namespace"] == namespace,
                selector => takes(selector, &of_namespace),
            };
            there && takes(&peer["podSelector"], labels)
        })
    })
}

pub fn worker() -> Value {
    json!({"app.kubernetes.io/name": "everloop", "app.kubernetes.io/component": "worker", "everloop.dev/pool": "default"})
}

fn policy(rendering: &[Value], name: &str) -> Value {
    find(rendering, "NetworkPolicy", name).clone()
}

/// Whoever may start runs is the installation's choice; what it is made of is not.
#[test]
fn the_installations_own_pods_reach_the_queue_service_whoever_else_does() {
    let of_shop = r#"networkPolicy.queueFrom=[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"shop"}}}]"#;
    for who in [of_shop, "networkPolicy.queueFrom=[]"] {
        let rendering = objects(&with(&["networkPolicy.enabled=true", who]));
        let queue = policy(&rendering, "everloop-queue");
        let operator = &find(&rendering, "Deployment", "everloop-operator")["spec"]["template"]["metadata"]["labels"];
        let test = &find(&rendering, "Pod", "everloop-test")["metadata"]["labels"];
        for labels in [operator, test, &worker()] {
            assert!(lets_in(&queue, "everloop", labels), "{who}: {labels}");
        }
        assert!(!lets_in(&queue, "everloop", &json!({"app": "another"})), "{who}");
        assert_eq!(lets_in(&queue, "shop", &json!({"app": "payments"})), who == of_shop, "{who}");
        // Anybody could give this label to a pod of a namespace that nobody has named.
        assert!(!lets_in(&queue, "elsewhere", &worker()), "{who}");
    }
}

#[test]
fn workers_of_the_watched_namespaces_reach_the_queue_service() {
    let rendering = objects(&with(&["networkPolicy={\"enabled\":true,\"queueFrom\":[]}", "watchNamespaces=[\"shop\",\"kitchen\"]"]));
    let queue = policy(&rendering, "everloop-queue");
    for (namespace, labels, expected) in [
        ("shop", worker(), true),
        ("kitchen", worker(), true),
        ("elsewhere", worker(), false),
        ("shop", json!({"app": "payments"}), false),
        ("everloop", worker(), true),
    ] {
        assert_eq!(lets_in(&queue, namespace, &labels), expected, "{namespace}: {labels}");
    }
}

/// Whatever scales pools is somewhere else.
#[test]
fn whoever_scales_pools_reaches_an_operator_by_its_service() {
    let rendering = objects(&with(&["networkPolicy.enabled=true"]));
    let service = find(&rendering, "Service", "everloop-operator");
    let pod = &find(&rendering, "Deployment", "everloop-operator")["spec"]["template"];
    assert!(takes(&json!({"matchLabels": service["spec"]["selector"]}), &pod["metadata"]["labels"]), "{service}");
    assert!(lets_in(&policy(&rendering, "everloop-operator"), "keda", &json!({"app": "keda-operator"})));
    let port = &service["spec"]["ports"][0];
    let of_pod = pod["spec"]["containers"][0]["ports"].as_array().expect("ports");
    assert!(of_pod.iter().any(|of_pod| of_pod["name"] == port["targetPort"] && of_pod["containerPort"] == 7401), "{port}");
    let sample = std::fs::read_to_string(crate::helm::repository("deploy/samples/scaledobject.yaml")).expect("the sample");
    assert!(sample.contains(&format!("http://everloop-operator.everloop.svc:{}/v1/scaling/", port["port"])), "{sample}");
}

#[test]
fn only_the_queue_service_reaches_redis() {
    let rendering = objects(&with(&["networkPolicy.enabled=true"]));
    let redis = policy(&rendering, "everloop-redis");
    let queue = &find(&rendering, "Deployment", "everloop-queue")["spec"]["template"]["metadata"]["labels"];
    assert!(lets_in(&redis, "everloop", queue));
    for (namespace, labels) in [("everloop", &worker()), ("everloop", &json!({"app": "another"})), ("shop", queue)] {
        assert!(!lets_in(&redis, namespace, labels), "{namespace}: {labels}");
    }
}
