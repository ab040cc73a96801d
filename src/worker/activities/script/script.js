// The realm of a script activity: the globals of the files before this one, real time, `fetch`, and the calls.
//
// A realm serves all calls of one activity. The host enters it for one call at a time and drains its jobs before the next, so
// `current` is the call whose code runs; what it starts (timers, fetches) is its own, and ends with it.

let host;
let current = null;
let main = null;
const calls = new Map(); // number -> call that has not settled

class Call {
  constructor(number) {
    this.number = number;
    this.cancelled = null; // read by `uncaught`: a script is never cancelled
    this.controller = null;
    this.waiting = null; // number -> timer or fetch
  }
  get signal() {
    this.controller ??= new AbortController();
    return this.controller.signal;
  }
  wait(number, entry) {
    this.waiting ??= new Map();
    this.waiting.set(number, entry);
  }
}

function present(what) {
  if (current === null) throw new Error(`${what} cannot be used at the top level of a script: use it inside of the exported function`);
  return current;
}

function define(object, key, value) {
  Object.defineProperty(object, key, { value, writable: true, enumerable: false, configurable: true });
}

// --- Calls.

// More signs of life than this are one.
const HEARTBEAT_MS_MIN = 50;

function begin(number, argument, given) {
  const call = new Call(number);
  calls.set(number, call);
  current = call;
  const context = JSON.parse(given);
  Object.defineProperty(context, "signal", { get: () => call.signal, enumerable: true });
  let told = -Infinity;
  context.heartbeat = () => {
    const now = Date.now();
    if (now - told < HEARTBEAT_MS_MIN) return;
    told = now;
    host.heartbeat(number);
  };
  new Promise((resolve) => resolve(main(JSON.parse(argument), context))).then(
    (value) => succeed(call, value),
    (error) => fail(call, error),
  );
}

function leave(call) {
  calls.delete(call.number);
  call.waiting = null;
}

function succeed(call, value) {
  if (!calls.has(call.number)) return;
  let json = "null";
  try {
    if (value !== undefined) json = JSON.stringify(value);
    if (json === undefined) throw new TypeError(`the result is ${show(value)}, which JSON cannot hold`);
  } catch (error) {
    fail(call, error);
    return;
  }
  leave(call);
  host.settle(call.number, true, true, json);
}

function fail(call, error) {
  if (!calls.has(call.number)) return;
  leave(call);
  const object = typeof error === "object" && error !== null;
  host.settle(call.number, false, !(object && read(error, "retryable") === false), encodeError(withoutFramesOfOurs(describe(error))));
}

function withoutFramesOfOurs(described) {
  if (described.stack) described.stack = described.stack.split("\n").filter((line) => !/\beverloop-script\b|\bat (apply|native)\b/.test(line)).join("\n").trimEnd();
  if (described.cause) withoutFramesOfOurs(described.cause);
  return described;
}

// The attempt's time is over, or the worker stops: the code may say goodbye, nobody hears its result.
function abort(number, message, name) {
  const call = calls.get(number);
  if (call === undefined) return;
  current = call;
  if (call.controller !== null) call.controller.abort(new DOMException(message, name));
  leave(call);
}

// --- Timers.

function startTimer(what, callback, delay, args, repeats) {
  const call = present(what);
  if (typeof callback !== "function") throw new TypeError(`${what} takes a function and milliseconds`);
  const ms = Math.min(Math.max(Number(delay) || 0, repeats ? 1 : 0), 2147483647);
  const id = host.timer(call.number, ms);
  call.wait(id, { callback, args, repeats: repeats ? ms : null });
  return id;
}

function clearTimer(id) {
  if (typeof id === "number" && current?.waiting?.delete(id)) host.clearTimer(id);
}

function fired(number, id) {
  const call = calls.get(number);
  const timer = call?.waiting?.get(id);
  if (timer === undefined) return;
  current = call;
  if (timer.repeats === null) call.waiting.delete(id);
  else host.timerAgain(call.number, id, timer.repeats);
  attempt(call, timer.callback, timer.args);
}

// --- fetch: texts in and out.

class Headers {
  #values = new Map();
  constructor(init = undefined) {
    if (init === undefined || init === null) return;
    const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
    for (const [name, value] of pairs) this.append(name, value);
  }
  append(name, value) {
    const key = `${name}`.toLowerCase();
    const before = this.#values.get(key);
    this.#values.set(key, before === undefined ? `${value}`.trim() : `${before}, ${value}`);
  }
  set(name, value) {
    this.#values.set(`${name}`.toLowerCase(), `${value}`.trim());
  }
  get(name) {
    return this.#values.get(`${name}`.toLowerCase()) ?? null;
  }
  has(name) {
    return this.#values.has(`${name}`.toLowerCase());
  }
  delete(name) {
    this.#values.delete(`${name}`.toLowerCase());
  }
  forEach(callback, thisArgument = undefined) {
    for (const [name, value] of this) Reflect.apply(callback, thisArgument, [value, name, this]);
  }
  keys() {
    return this.#values.keys();
  }
  values() {
    return this.#values.values();
  }
  entries() {
    return this.#values.entries();
  }
  [Symbol.iterator]() {
    return this.#values.entries();
  }
}

class Response {
  #body;
  #used = false;
  constructor(body = "", { status = 200, statusText = "", headers = undefined, url = "", redirected = false } = {}) {
    this.#body = body === null ? "" : `${body}`;
    this.status = status;
    this.statusText = statusText;
    this.headers = headers instanceof Headers ? headers : new Headers(headers);
    this.url = url;
    this.redirected = redirected;
  }
  get ok() {
    return this.status >= 200 && this.status < 300;
  }
  get bodyUsed() {
    return this.#used;
  }
  async text() {
    if (this.#used) throw new TypeError("the body was read already");
    this.#used = true;
    return this.#body;
  }
  async json() {
    return JSON.parse(await this.text());
  }
}

function bodyOf(body, headers) {
  const kind = (type) => {
    if (!headers.has("content-type")) headers.set("content-type", type);
  };
  if (body === undefined || body === null) return null;
  if (body instanceof URLSearchParams) {
    kind("application/x-www-form-urlencoded;charset=UTF-8");
    return body.toString();
  }
  if (typeof body !== "string") throw new TypeError("fetch sends texts: give body a string, JSON.stringify(value) for JSON");
  kind("text/plain;charset=UTF-8");
  return body.toWellFormed();
}

async function fetch(input, init = {}) {
  const call = present("fetch");
  const { method = "GET", headers: given, body: content, signal = null } = init ?? {};
  const headers = new Headers(given);
  const body = bodyOf(content, headers);
  signal?.throwIfAborted();
  return await new Promise((resolve, reject) => {
    const id = host.fetch(call.number, JSON.stringify({ url: `${input}`, method: `${method}`.toUpperCase(), headers: [...headers], body }));
    const aborted = () => {
      call.waiting?.delete(id);
      host.cancelFetch(id);
      reject(signal.reason);
    };
    signal?.addEventListener("abort", aborted);
    call.wait(id, { resolve, reject, done: () => signal?.removeEventListener("abort", aborted) });
  });
}

function takeFetch(number, id) {
  const call = calls.get(number);
  const entry = call?.waiting?.get(id);
  if (entry === undefined) return undefined;
  current = call;
  call.waiting.delete(id);
  entry.done();
  return entry;
}

function fetched(number, id, given, body) {
  const { headers, ...rest } = JSON.parse(given);
  takeFetch(number, id)?.resolve(new Response(body, { ...rest, headers: new Headers(headers) }));
}

function fetchFailed(number, id, message) {
  takeFetch(number, id)?.reject(new TypeError(message));
}

// --- The realm.

export default function boot(given) {
  host = given;
  host.details = (value) => {
    try {
      return JSON.stringify(value);
    } catch {
      return undefined;
    }
  };
  // An error that nobody can catch, of a timer or a listener: it ends nothing, but is not silent.
  host.fail = (json) => host.log("error", `uncaught: ${json}`);
  const globals = {
    setTimeout: (callback, delay = 0, ...args) => startTimer("setTimeout", callback, delay, args, false),
    setInterval: (callback, delay = 0, ...args) => startTimer("setInterval", callback, delay, args, true),
    clearTimeout: (id) => clearTimer(id),
    clearInterval: (id) => clearTimer(id),
    queueMicrotask: (callback) => {
      if (typeof callback !== "function") throw new TypeError("queueMicrotask takes a function");
      const call = current;
      settled.then(() => attempt(call, callback, []));
    },
    console: makeConsole(),
    crypto: makeCrypto(),
    structuredClone,
    TextEncoder,
    TextDecoder,
    AbortController,
    AbortSignal,
    URL,
    URLSearchParams,
    Headers,
    Response,
    fetch,
  };
  for (const name of Object.keys(globals)) define(globalThis, name, globals[name]);
  return {
    begin,
    abort,
    fired,
    fetched,
    fetchFailed,
    setMain: (given) => {
      main = given;
    },
    outside: () => {
      current = null;
    },
  };
}
