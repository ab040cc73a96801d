//! Cancel requests, and shields against them.

use super::*;

#[test]
fn a_cancel_rejects_what_is_awaited_and_ends_the_run() {
    for waiting in
        ["sleep('1h')", "a()", "signal('x')", "Promise.all([a(), sleep(5), signal('x')])", "Promise.race([sleep(10), signal('y')])"]
    {
        let source = format!("import {{ sleep, signal }} from 'everloop'; export default async () => {{ await {waiting}; }};");
        let mut engine = engine();
        let mut run = Run::new(&source);
        let commands = run.start(&mut engine, "null").commands.len();
        assert_eq!(
            brief(&run.turn(&mut engine, vec![cancelled("no longer needed")])),
            [format!("{commands} x no longer needed")],
            "{waiting}"
        );
    }
}

#[test]
fn a_run_may_clean_up_under_a_shield_and_still_end_as_cancelled() {
    let source = r#"import { sleep, shield, CancelledError } from "everloop";
export default async () => {
  await pay();
  try {
    await sleep("30m");
  } catch (error) {
    if (!(error instanceof CancelledError)) throw error;
    await shield(async () => {
      await null;
      await notify(error.reason);
      await sleep("1s");
    });
    await a("refused").catch((e) => console.log(e.name, e.message));
    throw error;
  }
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    run.turn(&mut engine, vec![done(0, "1")]);
    // The run goes on, so its timer is taken back.
    assert_eq!(brief(&run.turn(&mut engine, vec![cancelled("stop")])), ["2 notify(\"stop\")", "3 cancel 1"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(2, "1")])), ["4 sleep 1s"]);
    let end = run.turn(&mut engine, vec![fired(4)]);
    assert_eq!(brief(&end), ["5 x stop"]);
    assert_eq!(end.logs[0].text, "CancelledError the run was cancelled: stop");
}

#[test]
fn a_shield_that_was_open_before_the_cancel_holds() {
    let source = r#"import { sleep, shield } from "everloop";
export default async () => {
  const charge = shield(async () => { await null; const receipt = await pay(); await notify(receipt); return receipt; });
  const [first, second] = await Promise.allSettled([charge, sleep("1h")]);
  return [first.value, second.reason.name];
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 sleep 1h", "1 pay(null)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![cancelled("stop")])), ["2 cancel 0"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(1, "7")])), ["3 notify(7)"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(3, "null")])), ["4 = [7,\"CancelledError\"]"]);
}

#[test]
fn a_run_that_returns_after_a_cancel_is_complete_and_one_that_fails_is_failed() {
    let returns = "import { sleep } from 'everloop'; export default async () => { try { await sleep('1h'); } catch { return 'saved'; } };";
    let fails =
        "import { sleep } from 'everloop'; export default async () => { try { await sleep('1h'); } catch { throw new Error('worse'); } };";
    for (source, end) in [(returns, "1 = \"saved\""), (fails, "1 ! Error: worse")] {
        let mut engine = engine();
        let mut run = Run::new(source);
        run.start(&mut engine, "null");
        assert_eq!(brief(&run.turn(&mut engine, vec![cancelled("stop")])), [end]);
    }
}

#[test]
fn a_cancelled_error_of_the_code_itself_is_a_failure() {
    assert_eq!(throws("throw new everloop.CancelledError('mine')").kind, "CancelledError");
}

#[test]
fn a_promise_that_nobody_awaits_does_not_end_a_cleanup() {
    let source = r#"import { sleep, shield } from "everloop";
export default async () => {
  a("in the background");
  try { await sleep("1h"); } catch { await shield(() => b()); }
  return "clean";
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    assert_eq!(brief(&run.turn(&mut engine, vec![cancelled("stop"), cancelled("again")])), ["2 b(null)", "3 cancel 1"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1"), done(2, "1")])), ["4 = \"clean\""]);
}
