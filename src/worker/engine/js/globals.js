// console, random numbers, texts and bytes, clones, abort signals.

// --- console: to the run's log. Always formatted, so that a replay runs the same getters; kept only when live.

function format(value, depth = 0) {
  if (typeof value === "string") return value;
  if (typeof value === "object" && value !== null) {
    if (value instanceof Error) {
      const stack = read(value, "stack");
      const head = `${text(read(value, "name"))}: ${text(read(value, "message"))}`;
      return typeof stack === "string" && stack !== "" ? `${head}\n${text(stack).trimEnd()}` : head;
    }
    try {
      if (value instanceof Map) return `Map ${format([...value])}`;
      if (value instanceof Set) return `Set ${format([...value])}`;
      return JSON.stringify(value) ?? "undefined";
    } catch {
      return "[object]";
    }
  }
  if (typeof value === "function") return `[function ${text(read(value, "name"))}]`;
  return typeof value === "bigint" ? `${value}n` : String(value);
}

function makeConsole() {
  const console = {};
  for (const [method, level] of [["debug", "debug"], ["info", "info"], ["log", "info"], ["warn", "warn"], ["error", "error"]]) {
    const write = (...args) => {
      present("console");
      host.log(level, args.map((value) => format(value)).join(" ").toWellFormed());
    };
    define(write, "name", method);
    console[method] = write;
  }
  return console;
}

// --- Random numbers, from a generator that the run's uid seeds and whose state is the run's.

function makeCrypto() {
  return {
    randomUUID() {
      present("crypto.randomUUID");
      return host.uuid();
    },
    getRandomValues(array) {
      present("crypto.getRandomValues");
      if (!ArrayBuffer.isView(array) || array instanceof DataView || array instanceof Float32Array || array instanceof Float64Array) {
        throw new TypeError("crypto.getRandomValues takes an array of integers, such as a Uint8Array");
      }
      if (array.byteLength > 65536) throw new DOMException("at most 65536 bytes at once", "QuotaExceededError");
      const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
      for (let index = 0; index < bytes.length; index++) bytes[index] = host.random() * 256;
      return array;
    },
  };
}

// --- Bytes and text.

function bytesOf(input) {
  if (input === undefined) return new Uint8Array(0);
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength).slice();
  if (input instanceof ArrayBuffer) return new Uint8Array(input).slice();
  throw new TypeError("TextDecoder.decode takes an ArrayBuffer or a view of one");
}

class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(string = "") {
    return host.encode(`${string}`.toWellFormed());
  }
  encodeInto(string, target) {
    let read = 0;
    let written = 0;
    for (const character of `${string}`.toWellFormed()) {
      const bytes = host.encode(character);
      if (written + bytes.length > target.length) break;
      target.set(bytes, written);
      written += bytes.length;
      read += character.length;
    }
    return { read, written };
  }
}

class TextDecoder {
  #fatal;
  #ignoreBOM;
  #rest = new Uint8Array(0);
  #started = false;
  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    if (!["utf-8", "utf8", "unicode-1-1-utf-8"].includes(`${label}`.trim().toLowerCase())) {
      throw new RangeError(`TextDecoder reads utf-8 only, not ${show(label)}`);
    }
    this.#fatal = Boolean(fatal);
    this.#ignoreBOM = Boolean(ignoreBOM);
  }
  get encoding() {
    return "utf-8";
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBOM;
  }
  decode(input = undefined, { stream = false } = {}) {
    const fresh = bytesOf(input);
    let bytes = new Uint8Array(this.#rest.length + fresh.length);
    bytes.set(this.#rest);
    bytes.set(fresh, this.#rest.length);
    this.#rest = new Uint8Array(0);
    if (stream) {
      const whole = completeLength(bytes);
      this.#rest = bytes.slice(whole);
      bytes = bytes.slice(0, whole);
    }
    let string = host.decode(bytes, this.#fatal);
    if (!this.#started && !this.#ignoreBOM && string.startsWith("\ufeff")) string = string.slice(1);
    this.#started = stream && (this.#started || string !== "");
    return string;
  }
}

// How many bytes end with a whole character: a sequence that is cut off waits for the next piece.
function completeLength(bytes) {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if (byte >= 0xc0) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return needed > back ? bytes.length - back : bytes.length;
    }
    if (byte < 0x80) break;
  }
  return bytes.length;
}

// --- structuredClone.

function structuredClone(value) {
  const copies = new Map();
  const uncloneable = (what) => new DOMException(`${what} could not be cloned`, "DataCloneError");
  const keep = (original, copy) => {
    copies.set(original, copy);
    return copy;
  };
  const properties = (original, copy) => {
    for (const key of Object.keys(original)) {
      Object.defineProperty(copy, key, { value: clone(original[key]), writable: true, enumerable: true, configurable: true });
    }
    return copy;
  };
  const clone = (original) => {
    if (typeof original === "symbol" || typeof original === "function") throw uncloneable(show(original));
    if (typeof original !== "object" || original === null) return original;
    if (copies.has(original)) return copies.get(original);
    if (Array.isArray(original)) return properties(original, keep(original, new Array(original.length)));
    if (original instanceof Date) return keep(original, new Date(original.getTime()));
    if (original instanceof RegExp) return keep(original, new RegExp(original.source, original.flags));
    if (original instanceof Boolean || original instanceof Number || original instanceof String) return keep(original, Object(original.valueOf()));
    if (original instanceof ArrayBuffer) return keep(original, original.slice(0));
    if (ArrayBuffer.isView(original)) {
      const buffer = clone(original.buffer);
      const length = original instanceof DataView ? original.byteLength : original.length;
      return keep(original, new (viewConstructor(original))(buffer, original.byteOffset, length));
    }
    if (original instanceof Map) {
      const copy = keep(original, new Map());
      for (const [key, item] of [...original]) copy.set(clone(key), clone(item));
      return copy;
    }
    if (original instanceof Set) {
      const copy = keep(original, new Set());
      for (const item of [...original]) copy.add(clone(item));
      return copy;
    }
    if (original instanceof Error) {
      const kinds = { EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
      const copy = keep(original, new (kinds[original.name] ?? Error)(`${original.message}`));
      define(copy, "stack", `${original.stack}`);
      if (Object.hasOwn(original, "cause")) define(copy, "cause", clone(original.cause));
      return copy;
    }
    if (original instanceof Promise || original instanceof WeakMap || original instanceof WeakSet) throw uncloneable(show(original));
    return properties(original, keep(original, {}));
  };
  return clone(value);
}

function viewConstructor(view) {
  const kinds = { Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array, BigUint64Array };
  return kinds[view[Symbol.toStringTag]] ?? DataView;
}

// --- AbortController and AbortSignal: enough of events to carry one event.

const MAKE = Symbol("make");

class AbortSignal {
  #reason = undefined;
  #aborted = false;
  #listeners = [];
  #followers = [];
  onabort = null;
  constructor(key) {
    if (key !== MAKE) throw new TypeError("Illegal constructor: use new AbortController().signal");
  }
  static abort(reason = new DOMException("This operation was aborted", "AbortError")) {
    const signal = new AbortSignal(MAKE);
    signal.#aborted = true;
    signal.#reason = reason;
    return signal;
  }
  static timeout(milliseconds) {
    const signal = new AbortSignal(MAKE);
    setTimeout(() => AbortSignal.#trigger(signal, new DOMException("The operation timed out", "TimeoutError")), milliseconds);
    return signal;
  }
  static any(signals) {
    const joined = new AbortSignal(MAKE);
    for (const signal of signals) {
      if (signal.#aborted) return AbortSignal.abort(signal.#reason);
    }
    for (const signal of signals) signal.#followers.push(joined);
    return joined;
  }
  static #trigger(signal, reason) {
    if (signal.#aborted) return;
    signal.#aborted = true;
    signal.#reason = reason;
    const event = Object.freeze({ type: "abort", target: signal, currentTarget: signal });
    for (const { callback, once } of [...signal.#listeners]) {
      if (once) signal.removeEventListener("abort", callback);
      attempt(current, typeof callback === "function" ? callback : (e) => callback.handleEvent(e), [event]);
    }
    if (typeof signal.onabort === "function") attempt(current, signal.onabort, [event]);
    for (const follower of signal.#followers) AbortSignal.#trigger(follower, reason);
  }
  static {
    triggerAbort = AbortSignal.#trigger;
  }
  get aborted() {
    return this.#aborted;
  }
  get reason() {
    return this.#reason;
  }
  throwIfAborted() {
    if (this.#aborted) throw this.#reason;
  }
  addEventListener(type, callback, options = undefined) {
    if (type !== "abort" || callback === null || callback === undefined) return;
    if (this.#listeners.some((listener) => listener.callback === callback)) return;
    this.#listeners.push({ callback, once: typeof options === "object" && options !== null && Boolean(options.once) });
  }
  removeEventListener(type, callback) {
    if (type === "abort") this.#listeners = this.#listeners.filter((listener) => listener.callback !== callback);
  }
}

var triggerAbort;

class AbortController {
  #signal = new AbortSignal(MAKE);
  get signal() {
    return this.#signal;
  }
  abort(reason = new DOMException("This operation was aborted", "AbortError")) {
    triggerAbort(this.#signal, reason);
  }
}
