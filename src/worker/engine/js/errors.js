// Errors on their way out of a run (as data), and back in (from an activity).

const CAUSES_MAX = 5;
const TEXT_MAX = 16384;

// A short text of any value, for messages. Calls no code of the user.
function show(value) {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 80));
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  if (typeof value === "function") return "a function";
  return String(value);
}

function text(value) {
  let string;
  try {
    string = typeof value === "string" ? value : String(value);
  } catch {
    string = "(a value without text)";
  }
  return string.slice(0, TEXT_MAX).toWellFormed();
}

// Reading a property of a thrown value may run its getters, and those may throw.
function read(object, key) {
  try {
    return object[key];
  } catch {
    return undefined;
  }
}

function describe(thrown, depth = 0) {
  if ((typeof thrown !== "object" && typeof thrown !== "function") || thrown === null) {
    return { type: "Thrown", message: text(thrown), details: host.details(thrown) };
  }
  const name = read(thrown, "name");
  const message = read(thrown, "message");
  const stack = read(thrown, "stack");
  const described = {
    type: typeof name === "string" && name !== "" ? text(name).slice(0, 256) : "Error",
    message: typeof message === "string" ? text(message) : "",
    stack: typeof stack === "string" ? text(stack) : "",
  };
  let details = read(thrown, "details");
  if (details === undefined && !(thrown instanceof Error)) details = thrown;
  if (details === undefined && thrown instanceof AggregateError && depth < CAUSES_MAX) {
    const errors = read(thrown, "errors");
    if (Array.isArray(errors)) details = errors.slice(0, 10).map((error) => describe(error, CAUSES_MAX));
  }
  if (details !== undefined) described.details = host.details(details);
  const cause = read(thrown, "cause");
  if (cause !== undefined && cause !== null && depth < CAUSES_MAX) described.cause = describe(cause, depth + 1);
  return described;
}

// `details` is JSON text already: it goes in as it is.
function encodeError(described) {
  const { details, cause, ...rest } = described;
  let json = JSON.stringify(rest).slice(0, -1);
  if (details !== undefined) json += `,"details":${details}`;
  if (cause !== undefined) json += `,"cause":${encodeError(cause)}`;
  return `${json}}`;
}

// The error of an activity as the code catches it.
function activityError(error, activity, at) {
  const made = new ActivityError(error.message);
  define(made, "name", error.type);
  if (activity !== null) define(made, "activity", activity);
  if (error.details !== undefined) define(made, "details", error.details);
  if (error.cause !== undefined) define(made, "cause", activityError(error.cause, null, ""));
  const place = activity === null ? "" : `    at ${activity}${at === "" ? "" : ` (${host.info("workflow")}.js:${at})`}\n`;
  define(made, "stack", error.stack ? `${place}${error.stack}` : place);
  return made;
}

// --- How the function ends. Whoever is first counts; everything after it is dropped.

const settled = Promise.resolve();

// As `new Promise((resolve) => resolve(main(input))).then(completeRun, failRun)` would, job for job. That would make two promises more at
// once, with the functions that settle them, and they take 1.5 KB for as long as the run waits: so they are made when it has ended.
function start(main, input) {
  let result;
  try {
    result = main(input);
  } catch (error) {
    threw(error);
    return;
  }
  if (isPlainPromise(result)) {
    settled.then(() => {
      result.then(returned, threw);
    });
  } else {
    returned(result);
  }
}

// A promise of which no code of the user can tell that `then` is called on it.
function isPlainPromise(value) {
  if (!host.isPromise(value) || Object.getPrototypeOf(value) !== Promise.prototype) return false;
  return !Object.hasOwn(value, "then") && !Object.hasOwn(value, "constructor");
}

function returned(value) {
  new Promise((resolve) => resolve(value)).then(completeRun, failRun);
}

function threw(error) {
  Promise.reject(error).then(undefined, failRun);
}

function completeRun(value) {
  host.complete(value === undefined ? null : value);
}

function failRun(error) {
  end(current, error);
}

function end(run, error) {
  if (run.cancelled !== null && error instanceof CancelledError) host.cancelled(run.cancelled);
  else host.fail(encodeError(describe(error)));
}

// An error that nobody can catch any more ends the run. That of a cancel does not: whoever was waiting is simply gone.
function uncaught(error) {
  if (current.cancelled !== null && error instanceof CancelledError) return;
  end(current, error);
}

function attempt(run, callback, args) {
  try {
    Reflect.apply(callback, undefined, args);
  } catch (error) {
    uncaught(error);
  }
}
