//! Files as people write them, and what they are told.

use super::*;
use crate::api::definition::{BodyKind, Kind};
use crate::api::error::Finding;
use crate::api::{Code, DurationMs, Problem};
use crate::source::render;

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|f| format!("{} {}:{}+{} {} [{}]", f.code, f.line, f.column, f.length, f.message, f.help)).collect()
}

fn refused(text: &str) -> Problem {
    parse(text, "flow.yaml").expect_err("it must be refused")
}

const HEAD: &str = "apiVersion: everloop.dev/v1alpha1\nkind: Workflow\nmetadata: {name: flow}\nspec:\n";

/// A file whose `spec` has a good source and these lines; they begin at line 6.
fn with_spec(lines: &str) -> String {
    format!("{HEAD}  source: {{inline: \"export default () => 1\"}}\n{lines}")
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"# comment
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata: {name: flow, namespace: shop, labels: {a: b}}
spec:
  pool: fast
  retention: 7d
  source:
    inline: |
      export default async () => 1;
  activities:
    pay:
      http:
        method: PUT
        url: "http://pay/{order.id}"
        headers: {X-Kind: "{kind}"}
        query: {q: x}
        body: text
      timeouts: {scheduleToStart: 1s, startToClose: 2s, scheduleToClose: 3s}
      retry: &retry {maxAttempts: 5, initial: 1s, factor: 1.5, max: 1m, nonRetryable: [Declined]}
    ship: {queue: trucks, timeouts: {startToClose: 10s, heartbeat: 500}, retry: *retry}
---
kind: ConfigMap
apiVersion: v1
metadata: {name: settings}
---
---
apiVersion: everloop.dev/v1alpha1
kind: Workflow
metadata:
  name: other
spec: {source: {inline: "export default () => 1"}}
"#;
    let parsed = parse(text, "flow.yaml").unwrap();
    assert_eq!(parsed.skipped, ["ConfigMap settings (line 23)"]);
    let [flow, other] = &parsed.workflows[..] else { panic!("{parsed:?}") };
    assert_eq!(
        (flow.namespace.as_ref().unwrap().as_str(), flow.workflow.name.as_str(), flow.workflow.pool.as_str()),
        ("shop", "flow", "fast")
    );
    assert_eq!(flow.workflow.retention, Some(DurationMs::from_secs(7 * 24 * 3600)));
    assert_eq!(flow.workflow.definition.source, "export default async () => 1;\n");
    assert_eq!((flow.line, flow.source_line_offset), (2, 9));
    let pay = &flow.workflow.definition.activities["pay"];
    let Ok(Kind::Http(http)) = pay.kind() else { panic!("{pay:?}") };
    assert_eq!((http.method.as_deref(), http.url.as_str(), http.body), (Some("PUT"), "http://pay/{order.id}", Some(BodyKind::Text)));
    let retry = pay.retry.as_ref().unwrap();
    assert_eq!((retry.max_attempts, retry.factor, &retry.non_retryable[..]), (Some(5), Some(1.5), &["Declined".to_owned()][..]));
    let ship = &flow.workflow.definition.activities["ship"];
    assert_eq!((&ship.retry, ship.start_to_close()), (&pay.retry, DurationMs::from_secs(10)));
    assert_eq!(ship.timeouts.as_ref().unwrap().heartbeat, Some(DurationMs(500)));
    assert_eq!((other.namespace.as_ref(), other.workflow.pool.as_str()), (None, "default"));
    assert_eq!((check_workflow(flow), check_workflow(other)), (vec![], vec![]));
}

#[test]
fn what_is_read_is_what_the_same_definition_in_json_is() {
    let text = with_spec("  activities:\n    pay: {http: {url: \"http://x/\"}, timeout: 10s, retry: {maxAttempts: 5, factor: 2}}\n");
    let parsed = parse(&text, "f").unwrap();
    let json = r#"{"source":"export default () => 1","activities":{"pay":{"http":{"url":"http://x/"},"timeout":"10s","retry":{"maxAttempts":5,"factor":2}}}}"#;
    let same: crate::api::Definition = serde_json::from_str(json).unwrap();
    assert_eq!(parsed.workflows[0].workflow.definition.version(), same.version());
}

#[test]
fn text_that_is_no_yaml_is_pointed_at() {
    let problem = refused("kind: Workflow\nspec: {a: [1, 2}\n");
    assert_eq!((problem.code, problem.findings[0].line, problem.findings[0].place.as_str()), (Code::InvalidYaml, 2, "flow.yaml"));
    let tab = refused("kind: Workflow\nspec:\n\tpool: x\n");
    assert_eq!(
        (tab.code, tab.findings[0].line, tab.next.as_str()),
        (Code::InvalidYaml, 3, "YAML is indented with spaces; this line has a tab")
    );
    assert!(render(&tab.findings, "kind: Workflow\nspec:\n\tpool: x\n").contains("3 | \tpool: x\n"));
    assert_eq!(
        told(&refused("kind: A\nkind: B\n").findings),
        ["InvalidYaml 2:1+4 `kind` is given twice, first on line 1 [keep one of them]"]
    );
    assert_eq!(told(&refused("a: !x 1\n").findings), ["InvalidYaml 1:7+1 YAML tags are not supported [remove the word with `!`]"]);
    assert_eq!(told(&refused("- 1\n").findings), ["InvalidResource 1:1+1 `document` must be a map of fields, not a list []"]);
    for hostile in
        ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "a: &a [*a]".into(), format!("{}: 1", "? ".repeat(50_000))]
    {
        assert_eq!(refused(&hostile).code, Code::InvalidYaml);
    }
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..30 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        laughs.push_str(&format!("a{n}: &a{n} [{before}]\n"));
    }
    assert!(refused(&laughs).detail.contains("more than 200000 values"));
}

#[test]
fn unknown_fields_come_with_their_path_and_the_nearest_right_name() {
    let activity = |line: &str| with_spec(&format!("  activities:\n    pay:\n      queue: q\n      {line}\n"));
    let cases = [
        (activity("retyr: {}"), "9:7+5 unknown field `spec.activities.pay.retyr` [did you mean `retry`?]"),
        (activity("retry: {maxAttempt: 1}"), "9:15+10 unknown field `spec.activities.pay.retry.maxAttempt` [did you mean `maxAttempts`?]"),
        (
            activity("timeouts: {start_to_close: 1s}"),
            "9:18+14 unknown field `spec.activities.pay.timeouts.start_to_close` [did you mean `startToClose`?]",
        ),
        (activity("zzz: 1"), "9:7+3 unknown field `spec.activities.pay.zzz` [known here: http, script, queue, timeout, timeouts, retry]"),
        (with_spec("  Pool: x\n"), "6:3+4 unknown field `spec.Pool` [did you mean `pool`?]"),
        (with_spec("sepc: 1\n"), "6:1+4 unknown field `sepc` [did you mean `spec`?]"),
        (
            with_spec("").replace("{name: flow}", "{name: flow, nmespace: x}"),
            "3:24+8 unknown field `metadata.nmespace` [did you mean `namespace`?]",
        ),
        (with_spec("").replace("inline:", "inlin: x, inline:"), "5:12+5 unknown field `spec.source.inlin` [did you mean `inline`?]"),
    ];
    for (text, expected) in cases {
        let problem = refused(&text);
        assert_eq!(told(&problem.findings), [format!("UnknownField {expected}")], "{text}");
        assert_eq!(problem.code, Code::UnknownField);
    }
}

#[test]
fn fields_keep_their_types_and_rules() {
    let activity = |lines: &str| with_spec(&format!("  activities:\n    pay:\n      {lines}\n"));
    let http = |fields: &str| activity(&format!("http: {{url: \"http://x/\", {fields}}}"));
    let url = |url: &str| activity(&format!("http: {{url: \"{url}\"}}"));
    let retry = |fields: &str| activity(&format!("queue: q\n      retry: {{{fields}}}"));
    let cases = [
        (
            with_spec("  pool: Fast_Pool\n"),
            "6:9+9 `spec.pool` is no name: 1 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or a digit [such as `fast-pool`]",
        ),
        (with_spec("  pool: 12\n"), "6:9+2 `spec.pool` must be a string, not a number [put it in quotes: \"12\"]"),
        (with_spec("  pool: [a]\n"), "6:9+1 `spec.pool` must be a string, not a list []"),
        (
            with_spec("  retention: 7 days\n"),
            "6:14+6 `spec.retention` is no duration: \"7 days\" [write a number with a unit (ms, s, m, h, d), such as 250ms, 10s or 1h30m]",
        ),
        (with_spec("  activities: x\n"), "6:15+1 `spec.activities` must be a map of fields, not a string []"),
        (activity("timeout: 1s"), "7:5+3 `spec.activities.pay` has no kind [give it one of `http`, `script`, `queue`]"),
        (with_spec("  activities:\n    pay:\n"), "7:5+3 `spec.activities.pay` has no kind [give it one of `http`, `script`, `queue`]"),
        (activity("queue: q\n      script: x"), "7:5+3 `spec.activities.pay` has several kinds: script and queue [keep exactly one]"),
        (
            activity("queue: Q"),
            "8:14+1 `spec.activities.pay.queue` is no name: 1 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or a digit [such as `q`]",
        ),
        (
            activity("queue: q\n      timeout: 0s"),
            "9:16+2 `spec.activities.pay.timeout` must be longer than zero [leave it out for the default]",
        ),
        (
            activity("queue: q\n      timeout: soon"),
            "9:16+4 `spec.activities.pay.timeout` is no duration: \"soon\" [write a number with a unit (ms, s, m, h, d), such as 250ms, 10s or 1h30m]",
        ),
        (
            activity("queue: q\n      timeouts: {heartbeat: 0}"),
            "9:29+1 `spec.activities.pay.timeouts.heartbeat` must be longer than zero [leave it out for the default]",
        ),
        (
            activity("http: {url: \"http://x/\"}\n      timeouts: {heartbeat: 1s}"),
            "9:29+2 `spec.activities.pay.timeouts.heartbeat` has no meaning for `http`: a request gives no sign of life [leave it out; `startToClose` bounds the request]",
        ),
        (
            activity("queue: q\n      timeout: 1s\n      timeouts: {startToClose: 1s}"),
            "9:16+2 `spec.activities.pay.timeout` is given twice, here and as `timeouts.startToClose` [keep one of them]",
        ),
        (
            retry("maxAttempts: 0"),
            "9:28+1 `spec.activities.pay.retry.maxAttempts` must be at least 1 [1 means no retry; leave it out for no bound]",
        ),
        (retry("maxAttempts: many"), "9:28+4 `spec.activities.pay.retry.maxAttempts` must be a whole number from 1 on []"),
        (retry("maxAttempts: 1.5"), "9:28+3 `spec.activities.pay.retry.maxAttempts` must be a whole number from 1 on []"),
        (
            retry("factor: 0.5"),
            "9:23+3 `spec.activities.pay.retry.factor` must be from 1 to 100 [1 keeps the delay, 2 doubles it each time]",
        ),
        (retry("factor: .nan"), "9:23+4 `spec.activities.pay.retry.factor` must be a number from 1 to 100 []"),
        (retry("initial: 1m, max: 1s"), "9:33+2 `spec.activities.pay.retry.max` is shorter than `initial`, which is 1m []"),
        (
            retry("nonRetryable: Declined"),
            "9:29+8 `spec.activities.pay.retry.nonRetryable` must be a list, not a string [write `[one, two]`]",
        ),
        (http("method: post"), "8:40+4 `spec.activities.pay.http.method` is no method: \"post\" [write `POST`]"),
        (
            http("method: FETCH"),
            "8:40+5 `spec.activities.pay.http.method` is no method: \"FETCH\" [one of GET, HEAD, POST, PUT, PATCH, DELETE]",
        ),
        (http("body: xml"), "8:38+3 `spec.activities.pay.http.body` \"xml\" is unknown [one of json, text, none]"),
        (
            http("method: GET, body: json"),
            "8:51+4 `spec.activities.pay.http.body` cannot be sent with GET [use `query` or a template in `url`, or another method]",
        ),
        (
            http("headers: {X-Count: 5}"),
            "8:51+1 `spec.activities.pay.http.headers.X-Count` must be a string, not a number [put it in quotes: \"5\"]",
        ),
        (http("headers: {a b: x}"), "8:47+1 `spec.activities.pay.http.headers.a b` is no header name []"),
        (
            http("headers: {X.y: \"{\"}"),
            "8:47+3 `spec.activities.pay.http.headers.X.y` has a `{` without `}` [`{field}` stands for that field of the argument]",
        ),
        (activity("http: {method: GET}"), "8:13+1 `spec.activities.pay.http.url` is missing []"),
        (
            url("/charge"),
            "8:19+9 `spec.activities.pay.http.url` is no URL: \"/charge\" [write it in full, such as `http://payments.shop.svc/charge`]",
        ),
        (url("ftp://x/"), "8:19+10 `spec.activities.pay.http.url` has the scheme \"ftp\" [only http and https are supported]"),
        (
            url("http:///x"),
            "8:19+11 `spec.activities.pay.http.url` has no host [write it in full, such as `http://payments.shop.svc/charge`]",
        ),
        (
            url("http://x/{}"),
            "8:19+13 `spec.activities.pay.http.url` has the template `{}`, which names no field [`{field}` stands for that field of the argument, `{a.b}` for a field of a field]",
        ),
        (
            url("http://x/{a..b}"),
            "8:19+17 `spec.activities.pay.http.url` has the template `{a..b}`, which names no field [`{field}` stands for that field of the argument, `{a.b}` for a field of a field]",
        ),
        (
            url("http://x/a}"),
            "8:19+13 `spec.activities.pay.http.url` has a `}` without `{` [`{field}` stands for that field of the argument]",
        ),
        (url("http://x/a b"), "8:19+14 `spec.activities.pay.http.url` contains blanks [write %20 for a space]"),
    ];
    for (text, expected) in cases {
        assert_eq!(told(&refused(&text).findings), [format!("InvalidResource {expected}")], "{text}");
    }
}

#[test]
fn documents_say_what_they_are() {
    let good = with_spec("");
    let cases = [
        (
            good.replace("v1alpha1", "v2"),
            "1:13+15 `apiVersion` of a Workflow is everloop.dev/v1alpha1, not everloop.dev/v2 [write `apiVersion: everloop.dev/v1alpha1`]",
        ),
        (
            good.replace("everloop.dev/v1alpha1", "argoproj.io/v1"),
            "1:13+14 `apiVersion` of a Workflow is everloop.dev/v1alpha1, not argoproj.io/v1 [write `apiVersion: everloop.dev/v1alpha1`]",
        ),
        (
            good.replace("apiVersion: everloop.dev/v1alpha1\n", ""),
            "1:1+1 `apiVersion` is missing [write `apiVersion: everloop.dev/v1alpha1`]",
        ),
        (good.replace("kind: Workflow", "kind: Workflwo"), "2:7+8 `kind` \"Workflwo\" is unknown [did you mean `Workflow`?]"),
        (good.replace("kind: Workflow\n", ""), "1:1+1 `kind` is missing [write `kind: Workflow`]"),
        (good.replace("{name: flow}", "{}"), "3:11+1 `metadata.name` is missing []"),
        (good.replace("metadata: {name: flow}\n", ""), "1:1+1 `metadata` is missing []"),
        (
            good.replace("{name: flow}", "{name: My Flow}"),
            "3:18+7 `metadata.name` is no name: 1 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or a digit [such as `my-flow`]",
        ),
        (format!("{HEAD}  pool: x\n"), "5:3+1 `spec.source` is missing [write `source:` and below it `inline: |` with the module]"),
        (format!("{HEAD}  source: {{}}\n"), "5:11+1 `spec.source.inline` is missing [write `inline: |` and below it the module]"),
        (
            format!("{HEAD}  source:\n    configMapKeyRef: {{name: a, key: b}}\n"),
            "6:22+1 `spec.source.configMapKeyRef` can only be read inside a cluster [put the module under `spec.source.inline`, or apply the file to a cluster with `kubectl apply -f`]",
        ),
        (format!("{good}---\n{good}"), "7:1+1 `metadata.name` `flow` is taken by a workflow above []"),
    ];
    for (text, expected) in cases {
        assert_eq!(told(&refused(&text).findings), [format!("InvalidResource {expected}")], "{text}");
    }
    let skipped =
        parse("apiVersion: everloop.dev/v1alpha1\nkind: WorkflowRun\nmetadata: {generateName: x-}\n---\nkind: Service\n", "f").unwrap();
    assert_eq!(skipped.skipped, ["WorkflowRun without a name (line 1)", "Service without a name (line 5)"]);
    assert_eq!(parse("# nothing\n", "f").unwrap(), Parsed { workflows: vec![], skipped: vec![] });
}

#[test]
fn several_mistakes_are_told_at_once_in_their_order() {
    let text = with_spec("  activities:\n    pay: {queue: q, retyr: 1, timeout: x}\n  pol: a\n");
    let problem = refused(&text);
    assert_eq!(
        problem.findings.iter().map(|f| (f.code, f.line)).collect::<Vec<_>>(),
        [(Code::UnknownField, 7), (Code::InvalidResource, 7), (Code::UnknownField, 8)]
    );
    assert_eq!(problem.detail, "flow.yaml:7:21: unknown field `spec.activities.pay.retyr` (and 2 more)");
}

/// The findings of a source whose text is written in this way, `file:line:column+length message`.
fn checked(spec: &str) -> Vec<String> {
    let text = format!("{HEAD}{spec}");
    let parsed = parse(&text, "flow.yaml").unwrap_or_else(|e| panic!("{e}: {text}"));
    check_workflow(&parsed.workflows[0]).iter().map(|f| format!("{}:{}:{}+{} {}", f.place, f.line, f.column, f.length, f.message)).collect()
}

#[test]
fn findings_in_sources_point_into_the_file() {
    let one = "flow.yaml:8:16+4 `nope` is not defined";
    assert_eq!(checked("  source:\n    inline: |\n      export default () => {\n        return nope;\n      }\n"), [one]);
    assert_eq!(checked("  source:\n    inline: |- # the module\n      export default () => {\n        return nope;\n      }\n"), [one]);
    assert_eq!(checked("  source:\n    inline: |\n\n      export default () => nope;\n"), ["flow.yaml:8:28+4 `nope` is not defined"]);
    assert_eq!(checked("  source:\n    inline: |2\n        export default () => nope;\n"), ["flow.yaml:7:30+4 `nope` is not defined"]);
    assert_eq!(checked("  source:\n    inline:\n      |\n      export default () => nope;\n"), ["flow.yaml:8:28+4 `nope` is not defined"]);
    assert_eq!(checked("  source: {inline: \"export default () => nope\"}\n"), ["flow.yaml:5:42+4 `nope` is not defined"]);
    assert_eq!(checked("  source:\n    inline: export default () => nope\n"), ["flow.yaml:6:34+4 `nope` is not defined"]);
    assert_eq!(
        checked("  source: {inline: \"\\nexport default () => nope\"}\n"),
        ["flow.yaml:5:20+29 `nope` is not defined (line 2, column 22 of the source)"]
    );
    assert_eq!(checked("  source:\n    inline: >\n      export default () =>\n      nope;\n").len(), 1);
    assert_eq!(
        checked("  source:\n    inline: |\n      export default () => nope |\n        1;\n"),
        ["flow.yaml:7:28+4 `nope` is not defined"]
    );
    assert_eq!(
        checked("  source:\n    inline: |\n      export default () => nope\n\n\n  pool: a\n"),
        ["flow.yaml:7:28+4 `nope` is not defined"]
    );
    let crlf = "  source:\r\n    inline: |\r\n      export default () => {\r\n        return nope;\r\n      }\r\n";
    assert_eq!(checked(crlf), [one]);
}

#[test]
fn findings_in_scripts_and_about_names_point_into_the_file() {
    let spec = "  source: {inline: \"export default () => 1\"}\n  activities:\n    send-mail: {queue: q}\n    look:\n      script: |\n        export default () => {\n          return nope;\n        }\n";
    assert_eq!(
        checked(spec),
        ["flow.yaml:7:5+9 activity name \"send-mail\" is not a JavaScript name", "flow.yaml:11:18+4 `nope` is not defined"]
    );
}

#[test]
fn every_example_is_good() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let parsed = parse(&text, &name).unwrap_or_else(|problem| panic!("{}", render(&problem.findings, &text)));
        for parsed in &parsed.workflows {
            let findings = check_workflow(parsed);
            assert!(findings.is_empty(), "{}", render(&findings, &text));
            assert!(crate::source::strip_types(&parsed.workflow.definition.source, &name).is_ok());
            assert!(text.contains(&format!("everloop run {}", parsed.workflow.name)), "{name}");
        }
        assert!(text.starts_with("# ") && text.contains("# Result: "), "{name}");
        assert_eq!(parsed.workflows[0].workflow.name.as_str(), name, "the first is the one that the file is named for");
        names.push(name);
    }
    assert!(names.len() >= 8, "{names:?}");
}
