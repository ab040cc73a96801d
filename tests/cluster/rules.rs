//! The API server itself refuses what is wrong, with a sentence that helps.

use std::path::Path;

use serde_json::Value;

use crate::control_plane::{Namespace, control_plane};
use crate::installation::{a_run, a_workflow};

fn workflow(spec: &str) -> String {
    format!("apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {{name: flow}}\nspec: {spec}\n")
}

fn pool(name: &str, spec: &str) -> String {
    format!("apiVersion: everloop.dev/v1alpha1\nkind: WorkerPool\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// The rules of one kind, tried in a namespace, and what was said of what they refused.
struct Rules {
    namespace: Namespace,
    told: Vec<String>,
}

impl Rules {
    fn new(namespace: &str) -> Self {
        Self { namespace: Namespace::new(namespace), told: Vec::new() }
    }

    /// A document that is accepted, and one like it that is refused with these words.
    #[track_caller]
    fn rule(&mut self, accepted: &str, refused: &str, words: &str) {
        self.accepted(accepted);
        self.refused(refused, words);
    }

    #[track_caller]
    fn accepted(&self, document: &str) {
        self.namespace.apply(document).unwrap_or_else(|error| panic!("refused: {error}\n{document}"));
    }

    #[track_caller]
    fn refused(&mut self, document: &str, words: &str) {
        let error = self.namespace.apply(document).expect_err(document);
        assert!(error.contains(words), "{words:?} is not in: {error}");
        self.told.push(error);
    }

    /// Every rule of the definition has refused something.
    fn are_all_of(&self, file: &str) {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("crds").join(file)).expect("a definition");
        let mut messages = Vec::new();
        messages_of(&serde_yaml_ng::from_str(&text).expect("YAML"), &mut messages);
        assert!(!messages.is_empty());
        for message in messages {
            assert!(self.told.iter().any(|told| told.contains(&message)), "nothing was refused with {message:?}");
        }
    }
}

fn messages_of(schema: &Value, into: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "x-kubernetes-validations" {
                    into.extend(
                        value.as_array().expect("rules").iter().map(|rule| rule["message"].as_str().expect("a message").to_owned()),
                    );
                }
                messages_of(value, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| messages_of(item, into)),
        _ => {}
    }
}

#[test]
fn rules_of_workflows() {
    let mut rules = Rules::new("rules-of-workflows");
    let with = |activities: &str| workflow(&format!("{{source: {{inline: x}}, activities: {{pay: {activities}}}}}"));
    let source = |source: &str| workflow(&format!("{{source: {source}}}"));
    let one = "exactly one of `inline` and `configMapKeyRef`";
    rules.rule(&source("{inline: x}"), &source("{}"), one);
    rules.rule(&source("{configMapKeyRef: {name: a, key: b}}"), &source("{inline: x, configMapKeyRef: {name: a, key: b}}"), one);
    rules.rule(&source("{inline: x}"), &source(&format!("{{inline: {}}}", "x".repeat(131_073))), "may not be more than 131072");
    let kinds = "exactly one of `http`, `script` and `queue`";
    rules.rule(&with("{queue: q}"), &with("{}"), kinds);
    rules.rule(&with("{script: s}"), &with("{script: s, queue: q}"), kinds);
    rules.rule(&with("{http: {url: 'http://pay/'}}"), &with("{http: {url: 'http://pay/', method: PAY}}"), "Unsupported value");
    let http = |more: &str| with(&format!("{{http: {{url: 'http://pay/'}}, {more}}}"));
    rules.rule(&http("timeout: 10s"), &http("timeout: 10s, timeouts: {startToClose: 10s}"), "give one of them");
    rules.rule(&with("{queue: q, timeouts: {heartbeat: 1s}}"), &http("timeouts: {heartbeat: 1s}"), "no sign of life");
    rules.rule(&http("timeout: 1h30m"), &http("timeout: soon"), "should match");
    rules.rule(&http("retry: {maxAttempts: 1, factor: 1.5}"), &http("retry: {maxAttempts: 0}"), "greater than or equal to 1");
    rules.rule(&http("retry: {factor: 100}"), &http("retry: {factor: 101}"), "less than or equal to 100");
    rules.rule(&workflow("{source: {inline: x}, pool: gpu-2}"), &workflow("{source: {inline: x}, pool: GPU}"), "should match");
    rules.rule(&a_workflow("a".repeat(63).as_str(), ""), &a_workflow("a".repeat(64).as_str(), ""), "must be a DNS label");
    rules.refused(&workflow("{source: {inline: x}, sauce: y}"), "unknown field \"spec.sauce\"");
    let named = |bytes: usize| workflow(&format!("{{source: {{inline: x}}, activities: {{{}: {{queue: q}}}}}}", "a".repeat(bytes)));
    rules.rule(&named(128), &named(129), "names of activities have at most 128 characters");
    rules.are_all_of("workflows.yaml");
}

/// Whatever of a run cannot be changed is refused, also deep inside of the input, which has no schema.
#[test]
fn rules_of_runs() {
    let mut rules = Rules::new("rules-of-runs");
    let run = |more: &str| a_run("run", "flow", more);
    let input = "`input` cannot be changed";
    rules.rule(&run(", input: {a: {b: [1, {c: 2}]}}"), &run(", input: {a: {b: [1, {c: 3}]}}"), input);
    rules.rule(&run(", input: {a: {b: [1, {c: 2}]}}"), &run(""), input);
    rules.rule(&run(", input: {a: {b: [1, {c: 2}]}}, cancel: true"), &run(", input: {a: {b: [1, {c: 2}]}}"), "cannot be taken back");
    let other = |more: &str| a_run("other", "flow", more);
    rules.rule(&other(", inputJSON: '[1]', runId: mine"), &other(", inputJSON: '[2]', runId: mine"), "`inputJSON` cannot be changed");
    rules.rule(&other(", inputJSON: '[1]', runId: mine"), &other(", inputJSON: '[1]', runId: yours"), "`runId` cannot be changed");
    rules.rule(&a_run("third", "flow", ""), &a_run("third", "another", ""), "`workflow` cannot be changed");
    let name = "n".repeat(246);
    rules.rule(&a_run(&name, "flow", ""), &a_run(&format!("{name}n"), "flow", ""), "at most 246 characters");
    rules.accepted(&a_run(&format!("{name}o"), "flow", ", runId: short"));
    rules.refused(&a_run("both", "flow", ", input: {a: 1}, inputJSON: '1'"), "`input` or `inputJSON`, not both");
    let long = format!(", inputJSON: '\"{}\"'", "x".repeat(65_536));
    rules.refused(&a_run("long", "flow", &long), "may not be more than 65536");
    let ttl = |seconds: &str| a_run("ttl", "flow", &format!(", ttlSecondsAfterFinished: {seconds}"));
    rules.rule(&ttl("31536000"), &ttl("31536001"), "less than or equal to 31536000");
    rules.rule(&ttl("0"), &ttl("-1"), "greater than or equal to 0");
    let id = |name: &str, id: &str| a_run(name, "flow", &format!(", runId: {id}"));
    rules.rule(&id("id", "Order-17_a.b"), &id("id-slash", "a/b"), "should match");
    rules.rule(&id("id-long", &"i".repeat(128)), &id("id-longer", &"i".repeat(129)), "may not be more than 128");
    rules.are_all_of("workflowruns.yaml");
}

#[test]
fn rules_of_pools() {
    let mut rules = Rules::new("rules-of-pools");
    rules.rule(&pool("small", "{replicas: 0}"), &pool("small", "{replicas: -1}"), "greater than or equal to 0");
    rules.rule(&pool("small", "{slots: {loops: 2}}"), &pool("small", "{slots: {loops: 0}}"), "greater than or equal to 1");
    rules.rule(&pool("small", "{scaling: {mode: External}}"), &pool("small", "{scaling: {mode: Never}}"), "Unsupported value");
    let auto = |bounds: &str| pool("small", &format!("{{scaling: {{mode: Auto{bounds}}}}}"));
    rules.rule(&auto(", min: 2, max: 2"), &auto(", min: 3, max: 2"), "`min` is above `max`");
    rules.rule(&auto(", target: 2s"), &auto(", target: soon"), "spec.scaling.target");
    rules.rule(&auto(", max: 1"), &auto(", max: 0"), "greater than or equal to 1");
    rules.rule(&auto(""), &pool("small", "{scaling: {max: 5}}"), "bounds are for `mode: Auto`");
    rules.accepted(&pool("small", "{scaling: {mode: External, min: 1, max: 5, target: 2s}}"));
    rules.accepted(&pool("small", "{}"));
    let allowed = |allowed: &str| pool("small", &format!("{{allowedNamespaces: {allowed}}}"));
    let selector = "give `matchLabels` with `from: Selector`";
    rules.rule(&allowed("{from: Selector, matchLabels: {a: b}}"), &allowed("{from: Selector}"), selector);
    rules.rule(&allowed("{from: All}"), &allowed("{from: All, matchLabels: {a: b}}"), selector);
    rules.rule(&allowed("{}"), &allowed("{matchLabels: {a: b}}"), selector);
    let template = |template: &str| pool("small", &format!("{{template: {template}}}"));
    rules.refused(&template("{sepc: {}}"), "unknown field \"spec.template.sepc\"");
    rules.rule(
        &template("{metadata: {labels: {a: b}}}"),
        &template(&format!("{{metadata: {{labels: {{a: {}}}}}}}", "b".repeat(64))),
        "may not be more than 63",
    );
    rules.rule(&pool(&"p".repeat(46), "{}"), &pool(&"p".repeat(47), "{}"), "at most 46 characters");
    let grace = |seconds: u32| pool("small", &format!("{{terminationGracePeriodSeconds: {seconds}}}"));
    rules.rule(&grace(5), &grace(4), "greater than or equal to 5");
    rules.rule(&grace(86_400), &grace(86_401), "less than or equal to 86400");
    let image = |characters: usize| pool("small", &format!("{{image: '{}'}}", "i".repeat(characters)));
    rules.rule(&image(512), &image(513), "may not be more than 512");
    rules.rule(&image(1), &image(0), "should be at least 1 chars long");
    rules.rule(&pool("small", "{replicas: 1000}"), &pool("small", "{replicas: 1001}"), "less than or equal to 1000");
    rules.are_all_of("workerpools.yaml");
}

/// Within `v1alpha1` schemas only widen: what was written for an earlier release is taken as it was, with every field.
#[test]
fn golden_objects_stay_writable() {
    let namespace = Namespace::new("golden");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/objects");
    let mut known = 0;
    for release in std::fs::read_dir(&folder).expect("a folder") {
        let release = release.expect("an entry").path().display().to_string();
        let arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "json", "-f", &release];
        let answer: Value = serde_json::from_str(&namespace.kubectl(&arguments)).expect("JSON");
        let objects = answer["items"].as_array().expect("a list");
        for kind in ["Workflow", "WorkflowRun", "WorkerPool"] {
            assert!(objects.iter().any(|object| object["kind"] == kind), "{kind} is not in {release}");
        }
        known += 1;
    }
    assert!(known > 0, "no release in {}", folder.display());
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
