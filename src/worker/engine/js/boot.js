// Builds the realm: called once per context, before any code of the user. Gives the host what it calls later.

let host;

const calls = { completed, failed, fired, fireZero, signalled, cancel, start, endTurn, uncaught, unread };

export default function boot(given, activities) {
  host = given;
  // The hook sees every error that is made, with its frames; see stacks.rs. Then it is out of reach.
  Error.stackTraceLimit = 32;
  Error.prepareStackTrace = host.stack;
  delete Error.prepareStackTrace;
  delete Error.stackTraceLimit;
  delete globalThis.gc;

  forbid();
  define(globalThis, "Date", deterministicDate());
  define(Math, "random", () => {
    present("Math.random");
    return host.random();
  });
  const timers = {
    setTimeout: (callback, delay = 0, ...args) => startTimer("setTimeout", callback, delay, args),
    setInterval: (callback, delay = 0, ...args) => startTimer("setInterval", callback, delay, args),
    clearTimeout: (id) => clearTimer(id),
    clearInterval: (id) => clearTimer(id),
    // As a reaction of a promise, so that what it throws ends the run like any error that nobody catches.
    queueMicrotask: (callback) => {
      if (typeof callback !== "function") throw new TypeError("queueMicrotask takes a function");
      settled.then(() => {
        callback();
      });
    },
  };
  for (const name of Object.keys(timers)) define(timers[name], "name", name);
  const globals = {
    ...timers,
    console: makeConsole(),
    crypto: makeCrypto(),
    structuredClone,
    TextEncoder,
    TextDecoder,
    AbortController,
    AbortSignal,
    URL,
    URLSearchParams,
  };
  for (const name of Object.keys(globals)) define(globalThis, name, globals[name]);
  for (const name of activities) define(globalThis, name, activity(name));

  allowOverrides();
  // Read by the module below, which runs next; `seal` takes it away.
  globalThis.everloop = { sleep, signal, onSignal, signalRun, shield, run: runInfo, CancelledError, ActivityError, freezeReachable };
  return {
    ...calls,
    seal() {
      const { freezeReachable: _, ...api } = globalThis.everloop;
      delete globalThis.everloop;
      freezeReachable(Object.values(api));
      freezeIntrinsics();
    },
    newRun: () => new Run(),
    // `loading`: the module's top level runs, and may not ask for anything yet.
    enter: (run, atTopLevel) => {
      current = run;
      loading = atTopLevel;
    },
  };
}
