//! A queue service that has another store than before.

use crate::control_plane::control_plane;
use crate::installation::{Installation, a_run, a_workflow};

/// Nothing is done to the new store, no old object runs again in it, and one command accepts it.
#[tokio::test]
async fn another_store_gets_nothing_until_it_is_accepted() {
    let mut installation = Installation::new("another-store");
    installation.namespace.apply(&a_workflow("waits", "await sleep('1h');")).unwrap();
    installation.namespace.apply(&a_workflow("flow", "return 1;")).unwrap();
    installation.namespace.apply(&(a_run("open", "waits", "") + &a_run("closed", "flow", ""))).unwrap();
    installation.namespace.condition("elr/open", "Closed", "False", "Running");
    installation.namespace.condition("elr/closed", "Succeeded", "True", "Completed");
    let id = |installation: &Installation| installation.namespace.get("configmap/everloop-store").unwrap()["data"]["storeId"].clone();
    let first = id(&installation);

    installation.kill_queue();
    installation.put_store_away();
    installation.start_queue();
    let told = || installation.namespace.events("ConfigMap", "everloop-store").iter().any(|event| event.contains("StoreChanged"));
    control_plane().until("it is said", told);
    installation.namespace.apply(&a_run("later", "flow", "")).unwrap();
    let asked = installation.client().ready().await.unwrap().store_id;
    assert_ne!(first, asked.as_str());
    // An operator that starts does nothing either.
    installation.kill_operator();
    installation.start_operator();
    control_plane().until("it looks", || {
        let refused = r#"everloop_requests_fenced_total{reason="StoreChanged"}"#;
        installation.metrics().lines().any(|line| line.starts_with(refused) && !line.ends_with(" 0"))
    });
    let definitions = installation.client().workflows().await.unwrap().workflows;
    assert!(definitions.is_empty() && installation.runs().await.is_empty(), "nothing was done to the new store");
    assert!(installation.namespace.get("elr/later").unwrap()["status"]["runId"].is_null());

    // The right one is back: all goes on by itself.
    installation.kill_queue();
    std::fs::remove_file(installation.store()).unwrap();
    installation.bring_store_back();
    installation.start_queue();
    installation.namespace.condition("elr/later", "Succeeded", "True", "Completed");

    // It is lost for good, and the new one is accepted.
    installation.kill_queue();
    installation.put_store_away();
    installation.start_queue();
    installation.namespace.kubectl(&["delete", "configmap", "everloop-store"]);
    installation.namespace.apply(&a_run("new", "flow", "")).unwrap();
    installation.namespace.condition("elr/new", "Succeeded", "True", "Completed");
    assert_ne!(id(&installation), first);
    installation.namespace.condition("elr/open", "Stalled", "True", "RunNotFound");
    assert_eq!(installation.runs().await.len(), 1, "no old object runs again");
}
