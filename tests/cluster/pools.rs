//! WorkerPools: a Deployment that belongs to the pool. Its pods stay pending here.

use serde_json::Value;

use crate::control_plane::{Namespace, control_plane};
use crate::installation::Installation;

const DEPLOYMENT: &str = "deployment/everloop-worker-big";
const POOL: &str = "apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {name: big}\nspec: {replicas: 2, slots: {turns: 64}, terminationGracePeriodSeconds: 30}\n";

fn deployment(namespace: &Namespace, holds: impl Fn(&Value) -> bool, what: &str) -> Value {
    let mut found = Value::Null;
    control_plane().until(what, || {
        found = namespace.get(DEPLOYMENT).unwrap_or_default();
        holds(&found)
    });
    found
}

#[tokio::test]
async fn a_pool_is_a_deployment_that_is_kept_as_it_should_be_and_goes_with_it() {
    let installation = Installation::new("pools");
    let namespace = &installation.namespace;
    // The pods are admitted where the strictest standard is enforced.
    namespace.kubectl(&["label", "namespace", &namespace.0, "pod-security.kubernetes.io/enforce=restricted"]);
    namespace.apply(POOL).unwrap();
    namespace.condition("elp/big", "Reconciling", "True", "PodsStarting");
    let made = deployment(namespace, |found| found["status"]["replicas"] == 2, "two pods");
    let pod = &made["spec"]["template"]["spec"];
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    let env: Vec<_> =
        pod["containers"][0]["env"].as_array().unwrap().iter().map(|env| (env["name"].as_str().unwrap(), &env["value"])).collect();
    assert!(env.contains(&("EVERLOOP_POOL", &"big".into())) && env.contains(&("EVERLOOP_TURN_SLOTS", &"64".into())), "{env:?}");
    assert!(env.contains(&("EVERLOOP_DRAIN", &"27s".into())), "the rest is handed back three seconds before the end: {env:?}");
    assert_eq!(namespace.get("elp/big").unwrap()["status"]["selector"].as_str().unwrap().matches("everloop.dev/pool=big").count(), 1);

    // By hand, under the operator: put back.
    namespace.kubectl(&["set", "image", DEPLOYMENT, "worker=other:1"]);
    let image = |found: &Value| found["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    deployment(namespace, |found| image(found) == image(&made), "the image is put back");
    // It claims to be of a later pool than there is.
    namespace.kubectl(&["annotate", "--overwrite", DEPLOYMENT, "everloop.dev/pool-generation=99"]);
    namespace.kubectl(&["scale", DEPLOYMENT, "--replicas=7"]);
    deployment(namespace, |found| found["spec"]["replicas"] == 2, "the number of pods is put back");
    namespace.kubectl(&["delete", DEPLOYMENT, "serviceaccount/everloop-worker-big", "poddisruptionbudget/everloop-worker-big"]);
    deployment(namespace, |found| found["spec"]["replicas"] == 2, "it is made again");
    let all =
        || ["serviceaccount", "poddisruptionbudget"].iter().all(|kind| namespace.get(&format!("{kind}/everloop-worker-big")).is_some());
    control_plane().until("what belongs to it is made again", all);

    control_plane().until("it is told", || namespace.events("WorkerPool", "big").contains(&"PutBack".to_owned()));

    // Through the pool: followed.
    namespace.kubectl(&["scale", "elp/big", "--replicas=1"]);
    deployment(namespace, |found| found["status"]["replicas"] == 1, "one pod");
    namespace.kubectl(&["scale", "elp/big", "--replicas=0"]);
    namespace.condition("elp/big", "Ready", "True", "ScaledToZero");
    let table = namespace.kubectl(&["get", "workerpools"]);
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "DESIRED", "CURRENT", "BUSY", "BACKLOG", "OLDEST", "AGE"]);
    assert_eq!(lines[1][..4], ["big", "True", "0", "0"], "{table}");
    let wide = namespace.kubectl(&["get", "workerpools", "-o", "wide"]);
    assert!(wide.contains("ScaledToZero"), "{wide}");

    namespace.kubectl(&["delete", "elp/big"]);
    let left = || {
        namespace.get("deployments,poddisruptionbudgets,pods").unwrap()["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|object| object["metadata"]["name"].as_str().unwrap().contains("everloop-worker-big"))
    };
    control_plane().until("all of it goes with its pool", || !left());
}

#[tokio::test]
async fn a_deployment_of_somebody_else_is_not_touched() {
    let installation = Installation::new("taken");
    let namespace = &installation.namespace;
    namespace.kubectl(&["create", "deployment", "everloop-worker-big", "--image=theirs:1", "--replicas=0"]);
    namespace.apply(POOL).unwrap();
    let stalled = namespace.condition("elp/big", "Stalled", "True", "NameTaken");
    assert!(stalled["message"].as_str().unwrap().contains("everloop-worker-big"), "{stalled}");
    assert_eq!(namespace.get(DEPLOYMENT).unwrap()["spec"]["template"]["spec"]["containers"][0]["image"], "theirs:1");
    namespace.kubectl(&["delete", DEPLOYMENT]);
    namespace.condition("elp/big", "Reconciling", "True", "PodsStarting");
}

#[tokio::test]
async fn a_quota_that_forbids_pods_is_told() {
    let installation = Installation::new("quota");
    let namespace = &installation.namespace;
    namespace.kubectl(&["create", "quota", "none", "--hard=pods=0"]);
    namespace.apply(POOL).unwrap();
    let stalled = namespace.condition("elp/big", "Stalled", "True", "PodsRefused");
    assert!(stalled["message"].as_str().unwrap().contains("exceeded quota"), "{stalled}");
}

#[tokio::test]
async fn a_field_that_somebody_takes_back_again_and_again_is_a_conflict_that_names_both() {
    let installation = Installation::new("contested");
    let namespace = &installation.namespace;
    namespace.apply(POOL).unwrap();
    for _ in 0..3 {
        deployment(namespace, |found| found["spec"]["replicas"] == 2, "as it is wanted");
        namespace.kubectl(&["scale", DEPLOYMENT, "--replicas=5"]);
    }
    deployment(namespace, |found| found["spec"]["replicas"] == 2, "put back three times");
    let patch = r#"{"spec": {"replicas": 5}}"#;
    namespace.kubectl(&["patch", DEPLOYMENT, "--type=merge", "--field-manager=another-scaler", "-p", patch]);
    let stalled = namespace.condition("elp/big", "Stalled", "True", "FieldConflict");
    let message = stalled["message"].as_str().unwrap();
    assert!(message.contains("`spec.replicas` of the Deployment") && message.contains("another-scaler"), "{message}");
    assert_eq!(namespace.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 5, "it is left alone for a while");
}

#[tokio::test]
async fn a_pod_template_is_laid_over_and_may_not_be_weaker() {
    let installation = Installation::new("overlay");
    let namespace = &installation.namespace;
    namespace.kubectl(&["label", "namespace", &namespace.0, "pod-security.kubernetes.io/enforce=restricted"]);
    let pool = |template: &str| POOL.replace("replicas: 2", &format!("replicas: 2, template: {template}"));
    let beside = "{metadata: {annotations: {team: shop}}, spec: {priorityClassName: '', containers: [{name: proxy, image: 'proxy:1'}]}}";
    namespace.apply(&pool(beside)).unwrap();
    let made = deployment(namespace, |found| found["status"]["replicas"] == 2, "two pods, admitted where `restricted` is enforced");
    let template = &made["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["team"], "shop");
    let names: Vec<_> = template["spec"]["containers"].as_array().unwrap().iter().map(|container| container["name"].clone()).collect();
    assert_eq!(names, ["worker", "proxy"]);
    namespace.apply(&pool("{spec: {hostNetwork: true}}")).unwrap();
    let stalled = namespace.condition("elp/big", "Stalled", "True", "InvalidSpec");
    assert!(stalled["message"].as_str().unwrap().contains("`template.spec.hostNetwork`"), "{stalled}");
    assert_eq!(namespace.get(DEPLOYMENT).unwrap()["spec"], made["spec"], "the pods stay as they are");
    namespace.apply(&pool(beside)).unwrap();
    namespace.condition("elp/big", "Reconciling", "True", "PodsStarting");
}

/// What only the API server knows to be wrong: told in its words, and the pods stay as they are.
#[tokio::test]
async fn what_the_api_server_does_not_take_is_told() {
    let installation = Installation::new("not-taken");
    let namespace = &installation.namespace;
    namespace.apply(POOL).unwrap();
    let made = deployment(namespace, |found| found["status"]["replicas"] == 2, "two pods");
    let table = [
        ("template: {spec: {tolerationz: []}}", "tolerationz"),
        ("template: {spec: {tolerations: many}}", "tolerations"),
        ("template: {spec: {priority: 1.5}}", "cannot convert float64 to int32"),
        ("resources: {requests: {cpu: lots}}", "quantit"),
        ("resources: {requests: {cpu: 2}, limits: {cpu: 1}}", "must be less than or equal to cpu limit"),
    ];
    for (field, words) in table {
        namespace.apply(&POOL.replace("replicas: 2", &format!("replicas: 2, {field}"))).unwrap();
        let stalled = namespace.condition("elp/big", "Stalled", "True", "InvalidSpec");
        let message = stalled["message"].as_str().unwrap();
        assert!(message.contains(words) && message.contains("`spec.resources`"), "{field}: {message}");
        namespace.condition("elp/big", "Ready", "False", "InvalidSpec");
        assert_eq!(namespace.get(DEPLOYMENT).unwrap()["spec"], made["spec"], "the pods stay as they are");
    }
    namespace.apply(POOL).unwrap();
    namespace.condition("elp/big", "Reconciling", "True", "PodsStarting");
}

/// Rights that end at the border of a namespace.
#[tokio::test]
async fn a_namespace_where_the_operator_may_not_make_pods_is_told() {
    let installation = Installation::new("no-rights");
    let namespace = &installation.namespace;
    let reads = "--resource=workflows.everloop.dev,workflowruns.everloop.dev,workerpools.everloop.dev,deployments.apps,serviceaccounts,poddisruptionbudgets.policy,pods,configmaps";
    namespace.kubectl(&["create", "role", "reads", "--verb=get,list,watch", reads]);
    namespace.kubectl(&["create", "role", "tells", "--verb=patch", "--resource=workerpools.everloop.dev/status"]);
    let account = format!("--serviceaccount={}:operator", namespace.0);
    for role in ["reads", "tells"] {
        namespace.kubectl(&["create", "rolebinding", role, &format!("--role={role}"), &account]);
    }
    namespace.kubectl(&["delete", "rolebinding", "everloop-operator"]);
    namespace.apply(POOL).unwrap();
    let stalled = namespace.condition("elp/big", "Stalled", "True", "Forbidden");
    assert!(stalled["message"].as_str().unwrap().contains("cannot patch resource"), "{stalled}");
    let all = ["create", "rolebinding", "everloop-operator", "--clusterrole=everloop-operator", &account];
    namespace.kubectl(&all);
    namespace.condition("elp/big", "Reconciling", "True", "PodsStarting");
}

/// There is no node: a pool of one pod that is rolled stays on its way.
#[tokio::test]
async fn pools_are_rolled_to_a_new_image_one_at_a_time_and_after_the_queue_service() {
    let mut installation = Installation::new("turns");
    let pool = |name: &str| {
        format!("apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{name: {name}}}\nspec: {{replicas: 1}}\n---\n")
    };
    let image = |installation: &Installation, name: &str| {
        let found = installation.namespace.get(&format!("deployment/everloop-worker-{name}"));
        found.map(|found| found["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned())
    };
    installation.namespace.apply(&(pool("one") + &pool("two"))).unwrap();
    control_plane().until("both are there", || image(&installation, "one").is_some() && image(&installation, "two").is_some());
    let before = image(&installation, "one").unwrap();
    installation.kill_operator();
    installation.kill_queue();
    let _operator = installation.another_operator("operator", &["--image", "everloop:next"]);
    for name in ["elp/one", "elp/two"] {
        let told = installation.namespace.condition(name, "Reconciling", "True", "WaitsForItsTurn");
        assert!(told["message"].as_str().unwrap().contains("the queue service is not ready"), "{told}");
    }
    installation.start_queue();
    let next = |installation: &Installation| -> Vec<&str> {
        ["one", "two"].into_iter().filter(|name| image(installation, name).as_deref() == Some("everloop:next")).collect()
    };
    control_plane().until("one is rolled", || next(&installation).len() == 1);
    let (first, second) = if next(&installation) == ["one"] { ("one", "two") } else { ("two", "one") };
    let told = installation.namespace.condition(&format!("elp/{second}"), "Reconciling", "True", "WaitsForItsTurn");
    assert!(told["message"].as_str().unwrap().contains("another pool is being rolled"), "{told}");
    assert_eq!(image(&installation, second), Some(before), "longer than a pass");
    installation.namespace.kubectl(&["scale", &format!("elp/{first}"), "--replicas=0"]);
    control_plane().until("then the other one", || next(&installation).len() == 2);
}
