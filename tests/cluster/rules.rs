//! The API server itself refuses what is wrong, with a sentence that helps.

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{a_run, a_workflow};

fn workflow(spec: &str) -> String {
    format!("apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: flow}}\nspec: {spec}\n")
}

fn pool(name: &str, spec: &str) -> String {
    format!("apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// A document that is accepted, and one like it that is refused with these words.
#[track_caller]
fn rule(namespace: &Namespace, accepted: &str, refused: &str, words: &str) {
    namespace.apply(accepted).unwrap_or_else(|error| panic!("refused: {error}\n{accepted}"));
    let error = namespace.apply(refused).expect_err(refused);
    assert!(error.contains(words), "{words:?} is not in: {error}");
}

#[test]
fn rules_of_workflows() {
    let namespace = Namespace::new("rules-of-workflows");
    let with = |activities: &str| workflow(&format!("{{source: {{inline: x}}, activities: {{pay: {activities}}}}}"));
    let source = |source: &str| workflow(&format!("{{source: {source}}}"));
    let one = "exactly one of `inline` and `configMapKeyRef`";
    rule(&namespace, &source("{inline: x}"), &source("{}"), one);
    rule(&namespace, &source("{configMapKeyRef: {name: a, key: b}}"), &source("{inline: x, configMapKeyRef: {name: a, key: b}}"), one);
    rule(&namespace, &source("{inline: x}"), &source(&format!("{{inline: {}}}", "x".repeat(131_073))), "may not be more than 131072");
    let kinds = "exactly one of `http`, `script` and `queue`";
    rule(&namespace, &with("{queue: q}"), &with("{}"), kinds);
    rule(&namespace, &with("{script: s}"), &with("{script: s, queue: q}"), kinds);
    rule(&namespace, &with("{http: {url: 'http://pay/'}}"), &with("{http: {url: 'http://pay/', method: PAY}}"), "Unsupported value");
    let http = |more: &str| with(&format!("{{http: {{url: 'http://pay/'}}, {more}}}"));
    rule(&namespace, &http("timeout: 10s"), &http("timeout: 10s, timeouts: {startToClose: 10s}"), "give one of them");
    rule(&namespace, &with("{queue: q, timeouts: {heartbeat: 1s}}"), &http("timeouts: {heartbeat: 1s}"), "no sign of life");
    rule(&namespace, &http("timeout: 1h30m"), &http("timeout: soon"), "should match");
    rule(&namespace, &http("retry: {maxAttempts: 1, factor: 1.5}"), &http("retry: {maxAttempts: 0}"), "greater than or equal to 1");
    rule(&namespace, &http("retry: {factor: 100}"), &http("retry: {factor: 101}"), "less than or equal to 100");
    rule(&namespace, &workflow("{source: {inline: x}, pool: gpu-2}"), &workflow("{source: {inline: x}, pool: GPU}"), "should match");
    rule(&namespace, &a_workflow("a".repeat(63).as_str(), ""), &a_workflow("a".repeat(64).as_str(), ""), "must be a DNS label");
    let unknown = namespace.apply(&workflow("{source: {inline: x}, sauce: y}")).expect_err("an unknown field");
    assert!(unknown.contains("unknown field \"spec.sauce\""), "{unknown}");
}

/// Whatever of a run cannot be changed is refused, also deep inside of the input, which has no schema.
#[test]
fn rules_of_runs() {
    let namespace = Namespace::new("rules-of-runs");
    let run = |more: &str| a_run("run", "flow", more);
    let input = "`input` cannot be changed";
    rule(&namespace, &run(", input: {a: {b: [1, {c: 2}]}}"), &run(", input: {a: {b: [1, {c: 3}]}}"), input);
    rule(&namespace, &run(", input: {a: {b: [1, {c: 2}]}}"), &run(""), input);
    rule(&namespace, &run(", input: {a: {b: [1, {c: 2}]}}, cancel: true"), &run(", input: {a: {b: [1, {c: 2}]}}"), "cannot be taken back");
    let other = |more: &str| a_run("other", "flow", more);
    rule(&namespace, &other(", inputJSON: '[1]', runId: mine"), &other(", inputJSON: '[2]', runId: mine"), "`inputJSON` cannot be changed");
    rule(&namespace, &other(", inputJSON: '[1]', runId: mine"), &other(", inputJSON: '[1]', runId: yours"), "`runId` cannot be changed");
    rule(&namespace, &a_run("third", "flow", ""), &a_run("third", "another", ""), "`workflow` cannot be changed");
    let both = namespace.apply(&a_run("both", "flow", ", input: {a: 1}, inputJSON: '1'")).expect_err("two inputs");
    assert!(both.contains("`input` or `inputJSON`, not both"), "{both}");
    let long = format!(", inputJSON: '\"{}\"'", "x".repeat(65_536));
    assert!(namespace.apply(&a_run("long", "flow", &long)).expect_err("too long").contains("may not be more than 65536"));
}

#[test]
fn rules_of_pools() {
    let namespace = Namespace::new("rules-of-pools");
    rule(&namespace, &pool("small", "{replicas: 0}"), &pool("small", "{replicas: -1}"), "greater than or equal to 0");
    rule(&namespace, &pool("small", "{slots: {loops: 2}}"), &pool("small", "{slots: {loops: 0}}"), "greater than or equal to 1");
    rule(&namespace, &pool("small", "{scaling: {mode: External}}"), &pool("small", "{scaling: {mode: Auto}}"), "Unsupported value");
    let allowed = |allowed: &str| pool("small", &format!("{{allowedNamespaces: {allowed}}}"));
    let selector = "give `matchLabels` with `from: Selector`";
    rule(&namespace, &allowed("{from: Selector, matchLabels: {a: b}}"), &allowed("{from: Selector}"), selector);
    rule(&namespace, &allowed("{from: All}"), &allowed("{from: All, matchLabels: {a: b}}"), selector);
    rule(&namespace, &allowed("{}"), &allowed("{matchLabels: {a: b}}"), selector);
    let template = |template: &str| pool("small", &format!("{{template: {template}}}"));
    let unknown = namespace.apply(&template("{sepc: {}}")).expect_err("an unknown field");
    assert!(unknown.contains("unknown field \"spec.template.sepc\""), "{unknown}");
    rule(
        &namespace,
        &template("{metadata: {labels: {a: b}}}"),
        &template(&format!("{{metadata: {{labels: {{a: {}}}}}}}", "b".repeat(64))),
        "may not be more than 63",
    );
    rule(&namespace, &pool(&"p".repeat(46), "{}"), &pool(&"p".repeat(47), "{}"), "at most 46 characters");
}

/// Nothing passes for seen that no operator has looked at.
#[test]
fn what_nobody_has_looked_at_says_so() {
    let namespace = Namespace::new("unseen");
    namespace.apply(&a_run("run", "flow", "")).unwrap();
    assert_eq!(namespace.get("elr/run").unwrap()["status"]["observedGeneration"], -1);
    let wait = namespace.try_kubectl(&["wait", "--for=condition=Closed", "elr/run", "--timeout=1s"]);
    assert!(!wait.status.success());
    let all = control_plane().kubectl(&["get", "everloop", "-A"]);
    assert!(all.contains("workflowrun.everloop.dev/run"), "the category: {all}");
}
