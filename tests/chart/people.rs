//! What people may do with the resources, by the cluster's own roles.

use crate::control_plane::control_plane;

/// A pool says what pods run, with which image and volumes: whoever may only edit writes none.
pub fn only_admin_writes_pools() {
    let plane = control_plane();
    plane.kubectl(&["create", "namespace", "people"]);
    for role in ["view", "edit", "admin"] {
        plane.kubectl(&["-n", "people", "create", "rolebinding", role, &format!("--clusterrole={role}"), &format!("--user={role}-x")]);
    }
    let may = |who: &str, verb: &str, what: &str| {
        let user = format!("--as={who}-x");
        // `no` is an exit code too.
        let (what, part) = what.split_once('/').unwrap_or((what, ""));
        let part = format!("--subresource={part}");
        let output = plane.try_kubectl(&["-n", "people", "auth", "can-i", verb, what, &part, &user]);
        match String::from_utf8_lossy(&output.stdout).trim() {
            "yes" => true,
            "no" => false,
            other => panic!("may {who} {verb} {what}: {other} {}", String::from_utf8_lossy(&output.stderr)),
        }
    };
    // A controller of the cluster adds the rules to its roles.
    plane.until("admin may make pools", || may("admin", "create", "workerpools.everloop.dev"));
    plane.until("edit may make workflows", || may("edit", "create", "workflows.everloop.dev"));
    for (who, verb, what, expected) in [
        ("edit", "create", "workerpools.everloop.dev", false),
        ("edit", "patch", "workerpools.everloop.dev", false),
        ("edit", "update", "workerpools.everloop.dev/scale", false),
        ("edit", "delete", "workerpools.everloop.dev", false),
        ("edit", "list", "workerpools.everloop.dev", true),
        ("edit", "delete", "workflowruns.everloop.dev", true),
        ("view", "create", "workflowruns.everloop.dev", false),
        ("view", "watch", "workflows.everloop.dev", true),
        ("admin", "update", "workerpools.everloop.dev/scale", true),
        ("admin", "patch", "workflows.everloop.dev/status", false),
    ] {
        assert_eq!(may(who, verb, what), expected, "{who} {verb} {what}");
    }
}
