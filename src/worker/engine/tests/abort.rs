//! AbortController and AbortSignal.

use super::*;

#[test]
fn an_abort_reaches_listeners_once() {
    let result = evaluate(
        r#"
  const controller = new AbortController();
  const seen = [];
  controller.signal.onabort = () => seen.push("on");
  controller.signal.addEventListener("abort", (e) => seen.push(e.type), { once: true });
  const removed = () => seen.push("never");
  controller.signal.addEventListener("abort", removed);
  controller.signal.removeEventListener("abort", removed);
  const joined = AbortSignal.any([new AbortController().signal, controller.signal]);
  controller.abort();
  controller.abort("again");
  let thrown; try { joined.throwIfAborted(); } catch (e) { thrown = e; }
  return [seen, controller.signal.aborted, joined.aborted, thrown.name, AbortSignal.abort("x").reason];"#,
    );
    assert_eq!(result, r#"[["abort","on"],true,true,"AbortError","x"]"#);
}

#[test]
fn a_timeout_signal_is_a_durable_timer() {
    let source = "export default () => new Promise((resolve) => { const s = AbortSignal.timeout(5000); s.onabort = () => resolve(s.reason.name); });";
    let mut engine = engine();
    let mut run = Run::new(source);
    assert_eq!(brief(&run.start(&mut engine, "null")), ["0 setTimeout 5s"]);
    assert_eq!(brief(&run.turn(&mut engine, vec![fired(0)])), ["1 = \"TimeoutError\""]);
}
