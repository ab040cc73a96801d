// Freezing: what several runs may share must not be changed by one of them. Done always, shared or not, so that nobody can tell.

// Assigning to an object a name that it inherits from a frozen prototype fails in JavaScript ("the override mistake"), and
// `this.name = ...` in a class that extends Error is common. The names that people do assign become accessors whose setter
// makes an own property. Not all names do: a getter costs a call at each use, and nobody assigns `push`.
function allowOverride(prototype, keys) {
  for (const key of keys) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, key);
    if (descriptor === undefined || !("value" in descriptor)) continue;
    const value = descriptor.value;
    Object.defineProperty(prototype, key, {
      get: () => value,
      set(assigned) {
        if (this === prototype) throw new TypeError(`Cannot assign to ${String(key)} of a frozen prototype`);
        Object.defineProperty(this, key, { value: assigned, writable: true, enumerable: true, configurable: true });
      },
      enumerable: descriptor.enumerable,
      configurable: true,
    });
  }
}

function allowOverrides() {
  const errors = [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, AggregateError, SuppressedError, InternalError];
  for (const constructor of errors) allowOverride(constructor.prototype, ["constructor", "name", "message", "toString"]);
  allowOverride(Object.prototype, ["constructor", "toString", "toLocaleString", "valueOf", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable"]);
  allowOverride(Function.prototype, ["toString"]);
  for (const constructor of [Array, Boolean, Number, String, RegExp, Date]) allowOverride(constructor.prototype, ["toString"]);
  allowOverride(Date.prototype, ["toJSON", "valueOf"]);
}

// Objects that answer every question with an error, so nothing can be changed about them and nothing walked.
const untouchable = new Set();

// Freezes everything that can be reached. Methods, the great majority, have no properties worth walking.
function freezeReachable(roots) {
  const seen = new Set();
  const queue = [];
  const add = (value) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return;
    if (seen.has(value) || untouchable.has(value)) return;
    seen.add(value);
    queue.push(value);
  };
  for (const root of roots) add(root);
  for (let value = queue.pop(); value !== undefined; value = queue.pop()) {
    // Elements of a typed array cannot be frozen; the whitelist of shareable sources has none.
    if (ArrayBuffer.isView(value)) continue;
    Object.freeze(value);
    add(Object.getPrototypeOf(value));
    if (typeof value === "function" && !Object.hasOwn(value, "prototype") && Object.getOwnPropertyNames(value).length <= 2) continue;
    for (const key of Reflect.ownKeys(value)) {
      const descriptor = Object.getOwnPropertyDescriptor(value, key);
      add(descriptor.value);
      add(descriptor.get);
      add(descriptor.set);
    }
  }
}

function freezeIntrinsics() {
  const hidden = [
    Object.getPrototypeOf(function* () {}),
    Object.getPrototypeOf(async () => {}),
    Object.getPrototypeOf(async function* () {}),
    Object.getPrototypeOf([][Symbol.iterator]()),
    Object.getPrototypeOf(""[Symbol.iterator]()),
    Object.getPrototypeOf(new Map()[Symbol.iterator]()),
    Object.getPrototypeOf(new Set()[Symbol.iterator]()),
    Object.getPrototypeOf("".matchAll(/x/g)),
    Object.getPrototypeOf([].values().map((x) => x)),
    Object.getPrototypeOf(Iterator.from({ next() {} })),
    Object.getPrototypeOf(Iterator.concat?.() ?? []),
  ];
  freezeReachable([...Reflect.ownKeys(globalThis).map((key) => globalThis[key]), ...hidden]);
  Object.freeze(globalThis);
}
