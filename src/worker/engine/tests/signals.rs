//! signal and onSignal.

use super::*;

#[test]
fn signals_are_kept_in_order_until_somebody_asks() {
    let source = "import { signal } from 'everloop'; export default async () => { await a(); return [await signal('x'), await signal('y'), await signal('x'), await signal('x')]; };";
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    let early = run.turn(&mut engine, vec![signalled("x", "1"), signalled("x", "2"), signalled("y", "3")]);
    assert!(early.commands.is_empty() && early.listening.is_empty());
    let asked = run.turn(&mut engine, vec![done(0, "1")]);
    assert_eq!(asked.listening, ["x", "y"]);
    let end = run.turn(&mut engine, vec![signalled("x", "{\"n\":4}"), signalled("z", "5"), signalled("x", "6")]);
    assert_eq!(brief(&end), ["1 = [1,3,2,{\"n\":4}]"]);
    assert!(end.listening.is_empty());
}

#[test]
fn signals_that_nobody_read_are_reported_at_the_end() {
    let mut engine = engine();
    let mut run = Run::new("export default async () => { await a(); };");
    run.start(&mut engine, "null");
    let end = run.turn(&mut engine, vec![signalled("typo", "1"), signalled("typo", "2"), done(0, "1")]);
    assert_eq!(end.unread_signals, ["typo"]);
}

#[test]
fn a_loop_of_signals_works_as_an_actor() {
    let source = "import { signal } from 'everloop'; export default async () => { let sum = 0; for (;;) { const n = await signal('add'); if (n === null) return sum; sum += n; } };";
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    run.turn(&mut engine, vec![signalled("add", "1"), signalled("add", "2")]);
    run.turn(&mut engine, vec![signalled("add", "3")]);
    assert_eq!(brief(&run.turn(&mut engine, vec![signalled("add", "null")])), ["0 = 6"]);
}

#[test]
fn a_handler_gets_kept_and_later_signals() {
    let source = r#"import { onSignal } from "everloop";
export default async () => {
  const seen = [];
  await a();
  onSignal("x", async (n) => { seen.push(n); await b(n); });
  seen.push("after");
  await c();
  return seen;
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    run.turn(&mut engine, vec![signalled("x", "1"), signalled("x", "2")]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1")])), ["1 c(null)", "2 b(1)", "3 b(2)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![signalled("x", "3")])), ["4 b(3)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(1, "1")])), ["5 = [\"after\",1,2,3]"]);
}

#[test]
fn a_handler_that_throws_ends_the_run() {
    let source = "import { onSignal, sleep } from 'everloop'; export default async () => { onSignal('x', () => { throw new RangeError('no'); }); await sleep('1h'); };";
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    assert_eq!(brief(&run.turn(&mut engine, vec![signalled("x", "1")])), ["1 ! RangeError: no"]);
}

#[test]
fn a_signal_to_another_run_is_settled_by_its_delivery() {
    let source = r#"import { signalRun } from "everloop";
export default async () => {
  const sent = await signalRun("other/1", "go", { n: 1 });
  try {
    await signalRun("gone", "go");
  } catch (error) {
    return [sent === undefined, error.name, error.message, error.stack.includes("5:11")];
  }
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 go to other/1 {\"n\":1}"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![Event::SignalDelivered { command: 0 }])), ["1 go to gone null"]);
    let refused = Event::SignalRefused { command: 1, error: RunError::new("RunNotFound", "run gone did not get the signal") };
    let end = run.turn(&mut engine, vec![refused]);
    assert_eq!(brief(&end), [r#"2 = [true,"RunNotFound","run gone did not get the signal",true]"#]);
}

#[test]
fn a_signal_to_no_run_or_of_no_name_is_thrown_at_the_call() {
    for (call, words) in [
        ("signalRun('', 'x')", "signalRun takes the id of a run"),
        ("signalRun('a b', 'x')", "is not valid"),
        ("signalRun('a', '')", "signalRun takes the name of a signal"),
        ("signalRun('a', 'x\\n')", "no control characters"),
        ("signalRun('a', 'x', () => 1)", "the payload of the signal x"),
    ] {
        let error = throws(&format!("await everloop.{call};"));
        assert!(error.kind == "TypeError" && error.message.contains(words), "{call}: {error:?}");
    }
}
