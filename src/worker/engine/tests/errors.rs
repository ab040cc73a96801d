//! Errors out of a run and into it, and their stacks.

use super::*;

#[test]
fn an_error_names_the_users_own_lines() {
    let source = r#"// a comment
class PaymentError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "PaymentError";
    this.details = { code: 7 };
  }
}

function check(order) {
  throw new PaymentError(`no money for ${order}`, { cause: new TypeError("broke") });
}

export default async function orderStatus(order) {
  await a();
  check(order);
}
"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "\"x\"");
    let output = run.turn(&mut engine, vec![done(0, "1")]);
    let Command::Fail { error, .. } = &output.commands[0] else { panic!("{output:?}") };
    assert_eq!((error.kind.as_str(), error.message.as_str()), ("PaymentError", "no money for x"));
    let frames: Vec<&str> = error.stack.lines().map(str::trim).collect();
    assert_eq!(
        frames,
        ["at PaymentError (order-status.js:4:20)", "at check (order-status.js:11:64)", "at orderStatus (order-status.js:16:9)"],
        "{}",
        error.stack
    );
    assert_eq!(error.details.as_ref().unwrap().get(), r#"{"code":7}"#);
    assert_eq!(error.cause.as_ref().unwrap().kind, "TypeError");
}

#[test]
fn an_activitys_failure_is_an_error_to_catch() {
    let source = r#"import { ActivityError } from "everloop";
export default async () => {
  try {
    await pay();
  } catch (e) {
    return [e instanceof Error, e instanceof ActivityError, e.name, e.message, e.details, e.cause.name, e.cause.details, e.stack.split("\n")[0].trim(), `${e}`];
  }
};"#;
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    let error = RunError {
        details: Some(json("{\"status\":502}")),
        cause: Some(Box::new(RunError { details: Some(json("[1]")), ..RunError::new("Refused", "no") })),
        ..RunError::new("HttpError", "bad gateway")
    };
    engine.evict(&run.uid());
    let output = run.turn(&mut engine, vec![Event::ActivityFailed { command: 0, attempt: 5, error }]);
    assert_eq!(
        brief(&output),
        [
            r#"1 = [true,true,"HttpError","bad gateway",{"status":502},"Refused",[1],"at pay (order-status.js:4:11)","HttpError: bad gateway"]"#
        ]
    );
}

#[test]
fn an_uncaught_activity_error_fails_the_run_with_all_it_knows() {
    let mut engine = engine();
    let mut run = Run::new("export default async () => { await pay(); };");
    run.start(&mut engine, "null");
    let error = RunError { details: Some(json("[502]")), ..RunError::new("HttpError", "bad gateway") };
    let output = run.turn(&mut engine, vec![Event::ActivityFailed { command: 0, attempt: 1, error }]);
    let Command::Fail { error, .. } = &output.commands[0] else { panic!("{output:?}") };
    assert_eq!((error.kind.as_str(), error.details.as_ref().unwrap().get()), ("HttpError", "[502]"));
    assert!(error.stack.contains("order-status.js:1:"), "{}", error.stack);
}

#[test]
fn anything_can_be_thrown() {
    let text = throws("throw 'boom'");
    assert_eq!((text.kind.as_str(), text.message.as_str()), ("Thrown", "boom"));
    assert_eq!(throws("throw undefined").message, "undefined");
    assert_eq!(throws("throw null").kind, "Thrown");
    assert_eq!(throws("throw Symbol('s')").message, "Symbol(s)");
    let object = throws("throw { name: 'Odd', message: 'shape', code: 4 }");
    assert_eq!((object.kind.as_str(), object.message.as_str()), ("Odd", "shape"));
    assert_eq!(object.details.unwrap().get(), r#"{"name":"Odd","message":"shape","code":4}"#);
    let hostile = throws("throw { get name() { throw 1; }, get message() { throw 2; }, toJSON() { throw 3; } }");
    assert_eq!(hostile.kind, "Error");
    let several = throws("await Promise.any([Promise.reject(new RangeError('r')), Promise.reject(new TypeError('t'))])");
    assert_eq!(several.kind, "AggregateError");
    assert!(several.details.unwrap().get().contains("RangeError"));
    let endless = throws("const e = new Error('self'); e.cause = e; throw e");
    assert_eq!(endless.message, "self");
    let broken = throws("throw new Error('\\ud800' + 'x'.repeat(100000))");
    assert!(broken.message.len() <= crate::api::limits::ERROR_TEXT_BYTES_MAX);
}

#[test]
fn a_rejection_that_nobody_handles_ends_the_run() {
    let source = "import { sleep } from 'everloop'; export default async () => { (async () => { await a(); throw new RangeError('lost'); })(); await sleep('1h'); };";
    let mut engine = engine();
    let mut run = Run::new(source);
    run.start(&mut engine, "null");
    assert_eq!(brief(&run.turn(&mut engine, vec![done(0, "1")])), ["2 ! RangeError: lost"]);
    assert_eq!(throws("queueMicrotask(() => { throw new URIError('job'); }); await everloop.sleep(1000);").kind, "URIError");
    assert_eq!(throws("setTimeout(() => { throw new EvalError('timer'); }); await everloop.sleep(1000);").kind, "EvalError");
    assert_eq!(evaluate("const p = Promise.reject(1); await everloop.sleep(0); return p.catch((x) => x + 1)"), "2");
}

#[test]
fn what_a_class_inherits_can_be_assigned() {
    let result = evaluate(
        r#"
  class A extends Error { constructor() { super("m"); this.name = "A"; this.message = "changed"; this.constructor = 1; this.toString = () => "own"; } }
  const object = {}; object.toString = () => "mine"; object.valueOf = () => 5; object.hasOwnProperty = 1; object.constructor = 2;
  const list = []; list.toString = () => "list";
  const e = new RangeError("r"); e.name = "Renamed";
  return [new A().name, new A().message, `${new A()}`, Object.keys(object), object + 1, `${list}`, `${e}`, Object.hasOwn(e, "name"), new TypeError("t").name];"#,
    );
    assert_eq!(
        result,
        r#"["A","changed","own",["toString","valueOf","hasOwnProperty","constructor"],6,"list","Renamed: r",true,"TypeError"]"#
    );
}
