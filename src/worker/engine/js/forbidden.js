// What a workflow does not have, and what to do instead. A use of one throws; asking for its type does not.

const EFFECT = "a call with side effects is an activity; declare one under spec.activities (http or script)";
const COMPILE = "code that is made of text cannot be checked nor replayed; write a function";
const COLLECTOR = "what the garbage collector does is not part of a replay; use Map or Set";
const THREADS = "a run has one thread; call activities with Promise.all for parallelism";
const ENVIRONMENT = "a run has no process around it; pass what it needs as its input, or read it in a script activity";

const FORBIDDEN_FUNCTIONS = {
  fetch: EFFECT,
  XMLHttpRequest: EFFECT,
  WebSocket: EFFECT,
  EventSource: EFFECT,
  eval: COMPILE,
  Function: COMPILE,
  WeakRef: COLLECTOR,
  FinalizationRegistry: COLLECTOR,
  SharedArrayBuffer: THREADS,
  Worker: THREADS,
  MessageChannel: THREADS,
  BroadcastChannel: THREADS,
  require: "use import, and only from \"everloop\"; other code goes into the source or into an activity",
  setImmediate: "use setTimeout(callback, 0), which fires in the same turn",
  requestAnimationFrame: "use setTimeout or sleep",
  alert: EFFECT,
};

const FORBIDDEN_OBJECTS = {
  Atomics: THREADS,
  performance: "time inside of a run is the time of its turn; use Date.now()",
  process: ENVIRONMENT,
  Deno: ENVIRONMENT,
  Bun: ENVIRONMENT,
  navigator: ENVIRONMENT,
  localStorage: "variables of the function are durable; use those",
  sessionStorage: "variables of the function are durable; use those",
  indexedDB: EFFECT,
  caches: EFFECT,
  WebAssembly: COMPILE,
  Buffer: "use Uint8Array with TextEncoder and TextDecoder, or atob and btoa",
  Intl: "formats of the system's locale differ between machines; format in an activity",
  Temporal: "use Date, which is in UTC",
};

function refusal(name, instead) {
  return new Error(`${name} is not available in a workflow: ${instead}`);
}

function forbiddenFunction(name, instead) {
  const thrower = function () {
    throw refusal(name, instead);
  };
  define(thrower, "name", name);
  return thrower;
}

function forbiddenObject(name, instead) {
  const deny = () => {
    throw refusal(name, instead);
  };
  const proxy = new Proxy(Object.freeze({}), {
    get: deny,
    has: deny,
    set: deny,
    deleteProperty: deny,
    defineProperty: deny,
    getOwnPropertyDescriptor: deny,
    ownKeys: deny,
  });
  untouchable.add(proxy);
  return proxy;
}

function forbid() {
  // The constructors of functions are reachable from any function: `(() => {}).constructor("...")`.
  const samples = { Function: () => {}, AsyncFunction: async () => {}, GeneratorFunction: function* () {}, AsyncGeneratorFunction: async function* () {} };
  for (const kind of Object.keys(samples)) {
    const prototype = Object.getPrototypeOf(samples[kind]);
    const thrower = forbiddenFunction(kind, COMPILE);
    Object.defineProperty(thrower, "prototype", { value: prototype, writable: false });
    Object.defineProperty(prototype, "constructor", { value: thrower, writable: false, enumerable: false, configurable: true });
    if (kind === "Function") define(globalThis, "Function", thrower);
  }
  for (const name of Object.keys(FORBIDDEN_FUNCTIONS)) {
    if (name !== "Function") define(globalThis, name, forbiddenFunction(name, FORBIDDEN_FUNCTIONS[name]));
  }
  for (const name of Object.keys(FORBIDDEN_OBJECTS)) define(globalThis, name, forbiddenObject(name, FORBIDDEN_OBJECTS[name]));
}
