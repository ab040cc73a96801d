//! Activities, combinators, the end of a run.

use super::*;

const ORDER_STATUS: &str = r#"import { sleep } from "everloop";

export default async function orderStatus(order) {
  const payment = await validateAndPay(order);
  if (!payment.ok) return { status: "payment failed" };
  await sendToRestaurant(order);
  const driver = await findDeliveryDriver(order);
  await sleep("30m");
  await deliverOrder(order, driver);
  return { status: "Success!" };
}
"#;

const ORDER_ACTIVITIES: [&str; 4] = ["validateAndPay", "sendToRestaurant", "findDeliveryDriver", "deliverOrder"];

#[test]
fn the_food_order_runs_as_it_is_written() {
    let mut engine = engine();
    let mut run = Run::with_activities(ORDER_STATUS, &ORDER_ACTIVITIES, 1);
    let first = run.start(&mut engine, r#"{"zip":"8001"}"#);
    assert_eq!(brief(&first), [r#"0 validateAndPay({"zip":"8001"})"#]);
    assert_eq!(first.commands[0].position(), "4:25");
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, r#"{"ok":true}"#)])), [r#"1 sendToRestaurant({"zip":"8001"})"#]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(1, "null")])), [r#"2 findDeliveryDriver({"zip":"8001"})"#]);
    let timer = run.turn(&mut engine, vec![done(2, r#"{"name":"Ada"}"#)]);
    assert_eq!(brief(&timer), ["3 sleep 30m"]);
    assert_eq!(timer.commands[0].position(), "8:9");
    assert_eq!(brief(&run.turn(&mut engine, vec![fired(3)])), [r#"4 deliverOrder({"zip":"8001"})"#]);
    assert_eq!(engine.cached().0, 1);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(4, "null")])), [r#"5 = {"status":"Success!"}"#]);
    assert_eq!(engine.cached(), (0, 0), "a closed run is not kept");
}

#[test]
fn an_early_return_ends_the_run() {
    let mut engine = engine();
    let mut run = Run::with_activities(ORDER_STATUS, &ORDER_ACTIVITIES, 1);
    run.start(&mut engine, "{}");
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, r#"{"ok":false}"#)])), [r#"1 = {"status":"payment failed"}"#]);
}

#[test]
fn undefined_is_null_in_arguments_and_results() {
    let mut engine = engine();
    let mut run = Run::new("export default async (input) => { await a(); await b(undefined); await c(input); };");
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 a(null)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1")])), ["1 b(null)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(1, "1")])), ["2 c(null)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(2, "1")])), ["3 = null"]);
}

#[test]
fn combinators_see_results_in_the_order_of_the_events() {
    let source = r"
export default async () => {
  const all = await Promise.all([a(1), b(2)]);
  const first = await Promise.race([a(3), b(4)]);
  const any = await Promise.any([a(5), b(6)]);
  const settled = await Promise.allSettled([a(7), b(8)]);
  return { all, first, any, settled: settled.map((s) => s.status) };
};";
    let mut engine = engine();
    let mut run = Run::new(source);
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 a(1)", "1 b(2)"]);
    assert!(run.turn(&mut engine, vec![done(1, "\"b\"")]).commands.is_empty());
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "\"a\"")])), ["2 a(3)", "3 b(4)"]);
    // Both at once: each is applied alone, so the first one wins and the second comes too late.
    assert_eq!(brief(&run.turn(&mut engine, vec![done(3, "\"won\""), done(2, "\"lost\"")])), ["4 a(5)", "5 b(6)"]);
    assert!(run.turn(&mut engine, vec![failed(4, "E", "no")]).commands.is_empty());
    assert_eq!(brief(&run.turn(&mut engine, vec![done(5, "\"any\"")])), ["6 a(7)", "7 b(8)"]);
    assert_eq!(
        brief(&run.turn(&mut engine, vec![failed(7, "E", "no"), done(6, "1")])),
        [r#"8 = {"all":["a","b"],"first":"won","any":"any","settled":["fulfilled","rejected"]}"#]
    );
}

#[test]
fn events_of_settled_and_unknown_commands_are_ignored() {
    let mut engine = engine();
    let mut run = Run::new("export default async () => { const x = await a(); const y = await b(); return [x, y]; };");
    run.start(&mut engine, "null");
    assert_eq!(
        brief(&run.turn(&mut engine, vec![done(0, "1"), done(0, "2"), fired(0), done(77, "3"), failed(0, "E", "late")])),
        ["1 b(null)"]
    );
    assert_eq!(brief(&run.turn(&mut engine, vec![done(1, "5")])), ["2 = [1,5]"]);
    assert!(run.turn(&mut engine, vec![done(1, "6"), signalled("late", "1")]).commands.is_empty(), "after the end nothing moves");
}

#[test]
fn what_is_left_when_the_function_ends_is_dropped() {
    let source =
        "export default async () => { (async () => { for (;;) { await null; } })(); Promise.reject(new Error('late')); a(); return 1; };";
    let mut engine = engine();
    let mut neighbour = Run::numbered("export default async () => { await a(); return 'alive'; };", 2);
    neighbour.start(&mut engine, "null");
    assert_eq!(brief(&Run::new(source).start(&mut engine, "null")), ["0 a(null)", "1 = 1"]);
    assert_eq!(brief(&neighbour.turn(&mut engine, vec![done(0, "1")])), ["1 = \"alive\""]);
}

#[test]
fn too_large_and_inexpressible_values_are_errors_where_they_are_used() {
    let mut engine = engine();
    let source = r#"
const tried = async (value) => { try { await a(value); } catch (e) { return `${e.name}: ${e.message}`; } };
export default async () => {
  const cycle = {}; cycle.self = cycle;
  let deep = 1; for (let i = 0; i < 100; i++) deep = [deep];
  let abyss = 1; for (let i = 0; i < 100000; i++) abyss = [abyss];
  return [await tried(cycle), await tried(1n), await tried(() => 1), await tried("x".repeat(2 ** 20)), await tried(deep), await tried(abyss)];
};"#;
    let output = Run::new(source).start(&mut engine, "null");
    let Command::Complete { result, .. } = &output.commands[0] else { panic!("{output:?}") };
    let errors: Vec<String> = serde_json::from_str(result.get()).unwrap();
    assert!(errors.iter().all(|e| e.starts_with("TypeError: the argument of a ")), "{errors:?}");
    for (error, part) in errors.iter().zip(["circular", "BigInt", "function", "1048578 bytes", "64 levels", "JSON"]) {
        assert!(error.contains(part), "{error} does not say {part}");
    }
    for (body, kind) in
        [("return 1n", "NotSerializable"), ("return () => 1", "NotSerializable"), ("return 'x'.repeat(2 ** 20)", "PayloadTooLarge")]
    {
        assert_eq!(throws(body).kind, kind, "{body}");
    }
}

#[test]
fn the_code_sees_who_it_is() {
    let mut engine = engine();
    let mut run = Run::new(
        "import { run } from 'everloop'; export default async () => { await a(); return { ...run, frozen: Object.isFrozen(run) }; };",
    );
    run.start(&mut engine, "null");
    let output = run.turn(&mut engine, vec![done(0, "1")]);
    let Command::Complete { result, .. } = &output.commands[0] else { panic!("{output:?}") };
    let info = result.to_value();
    assert_eq!(info["id"], "order-1");
    assert_eq!(info["namespace"], "shop");
    assert_eq!(info["workflow"], "order-status");
    assert_eq!(info["uid"], run.uid().as_str());
    assert_eq!(info["startedAt"], START_MS);
    assert_eq!(info["frozen"], true);
}

#[test]
fn a_source_that_does_not_load_blocks_the_run() {
    for (source, says) in [
        ("export default async ( => {}", "SyntaxError"),
        ("const x = 1;", "default export"),
        ("export default 7;", "default export"),
        ("null.x; export default async () => 1;", "order-status.js:1:"),
        ("await new Promise(() => {}); export default async () => 1;", "never comes"),
        ("import fs from 'fs'; export default async () => 1;", "imports from \"everloop\" only"),
        ("import { nope } from 'everloop'; export default async () => 1;", "nope"),
        ("a(); export default async () => 1;", "top level of a module"),
    ] {
        let blocked = Run::new(source).blocked(&mut engine(), vec![started("null")]);
        assert_eq!(blocked.reason, "BrokenSource", "{source}");
        assert!(blocked.message.contains(says), "{source}: {}", blocked.message);
    }
}

/// Whatever still runs when the function has ended is cut off after a fixed number of jobs: journals depend on it.
#[test]
fn the_end_of_a_function_counts_after_the_same_jobs_for_ever() {
    for (jobs, kind, body) in [
        (4, "async", "return 1;"),
        (4, "async", "throw new Error('x');"),
        (4, "async", "await null; return 1;"),
        (2, "", "return 1;"),
        (2, "", "throw new Error('x');"),
        (4, "", "return Promise.resolve(1);"),
        (4, "", "return Promise.reject(new Error('x'));"),
        (3, "", "return { then: (resolve) => resolve(1) };"),
        (4, "", "class Own extends Promise {} return Own.resolve(1);"),
    ] {
        let beside = "(async () => { for (let i = 0; i < 9; i++) { console.log(i); await null; } })();";
        let source = format!("export default {kind} function f() {{ {beside} {body} }}");
        let output = Run::new(&source).start(&mut engine(), "null");
        assert_eq!((output.logs.len(), output.commands.len()), (jobs, 1), "{kind} {body}");
    }
}
