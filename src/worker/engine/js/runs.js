// What a run is inside of the realm, and which one is running.
//
// A realm may serve many runs. The loop takes one turn at a time and drains its jobs before the next, so `current` is set
// when a turn begins and is right for all code of that turn. Nothing of a run may live anywhere else in these files.

let current = null;
let loading = false;

class Run {
  constructor() {
    this.pending = null; // what waits for the event of a command, by its number; see `held`
    this.zero = null; // timers of zero length, in order
    this.inboxes = null; // by the signal's name; see `held`
    this.timers = null; // those of setTimeout and setInterval, and the last id of one
    this.nesting = 0; // how deep in timers that started timers the present code is
    this.cancelled = null; // the reason, once there is one
    this.forgotten = null; // durable sleeps that a cancel has rejected
    this.scope = null; // the shield that the present code runs under
    this.shields = null; // shields that have not ended
  }
}

// Things that have a key each: none is null, one is itself, and only several are a map. A map takes 340 bytes, and most runs that
// wait, wait for one thing.

function held(things, key) {
  if (things instanceof Map) return things.get(key);
  return things !== null && things.key === key ? things : undefined;
}

function allHeld(things) {
  if (things instanceof Map) return [...things.values()];
  return things === null ? [] : [things];
}

// The things with one more.
function hold(things, thing) {
  if (things === null) return thing;
  if (things instanceof Map) return things.set(thing.key, thing);
  return new Map([[things.key, things], [thing.key, thing]]);
}

// The things without one of them.
function release(things, key) {
  if (!(things instanceof Map)) return held(things, key) === undefined ? things : null;
  things.delete(key);
  return things.size === 0 ? null : things;
}

// The current run, for what a module's top level may use too when it has a run of its own.
function present(what) {
  if (current === null) throw new Error(`${what} cannot be used at the top level of a module: use it inside of the exported function`);
  return current;
}

// The current run, for what only its function may do.
function running(what) {
  if (loading) throw new Error(`${what} cannot be used at the top level of a module: use it inside of the exported function`);
  return present(what);
}

class CancelledError extends Error {
  constructor(message = "the run was cancelled", options = undefined) {
    super(message, options);
    define(this, "name", "CancelledError");
  }
}

class ActivityError extends Error {
  constructor(message = "the activity failed", options = undefined) {
    super(message, options);
    define(this, "name", "ActivityError");
  }
}

// An own, hidden property: what `this.x = value` would be, without showing up in JSON and loops.
function define(object, key, value) {
  Object.defineProperty(object, key, { value, writable: true, enumerable: false, configurable: true });
}

function cancelledError(run) {
  const error = new CancelledError(run.cancelled === "" ? "the run was cancelled" : `the run was cancelled: ${run.cancelled}`);
  define(error, "reason", run.cancelled);
  return error;
}

// --- Shields: code that goes on working after a cancel request.
//
// Which code is inside of a shield is known from what woke it: the settled command remembers the shield that it was asked
// under, and all jobs of that event run under it again. Code that has hopped over an `await` of something already settled
// has lost that; it is recognised by its shield having nothing pending while it is not the job that opened the shield.

const REFUSED = Symbol("refused");

function scopeOf(run) {
  if (run.shields === null) return null;
  if (run.scope !== null && run.shields.has(run.scope)) return run.scope;
  const tick = host.tick();
  for (const entry of run.shields) if (entry.pending === 0 && entry.tick !== tick) return entry;
  return null;
}

// The shield that a new command belongs to, or REFUSED when the run was cancelled and no shield covers it.
function admit(run) {
  const scope = scopeOf(run);
  return run.cancelled !== null && scope === null ? REFUSED : scope;
}

function refuse(run) {
  return Promise.reject(cancelledError(run));
}

function enterWait(entry) {
  if (entry.scope !== null) entry.scope.pending++;
  return entry;
}

function leaveWait(run, entry) {
  run.scope = entry.scope;
  if (entry.scope !== null) entry.scope.pending--;
}

function shield(body) {
  const run = running("shield");
  if (typeof body !== "function") throw new TypeError("shield takes a function: shield(async () => { ... })");
  const outer = run.scope;
  const entry = { pending: 0, tick: host.tick() };
  run.shields ??= new Set();
  run.shields.add(entry);
  run.scope = entry;
  let result;
  try {
    result = new Promise((resolve) => resolve(body()));
  } finally {
    run.scope = outer;
  }
  const leave = () => {
    run.shields.delete(entry);
    run.scope = outer;
  };
  return result.then(
    (value) => {
      leave();
      return value;
    },
    (error) => {
      leave();
      throw error;
    },
  );
}

function cancel(reason) {
  const run = current;
  if (run.cancelled !== null) return;
  run.cancelled = reason;
  run.scope = null;
  for (const entry of allHeld(run.pending)) {
    if (entry.reject === null || entry.scope !== null) continue;
    run.pending = release(run.pending, entry.key);
    if (entry.kind === "sleep") (run.forgotten ??= []).push(entry.key);
    entry.reject(cancelledError(run));
  }
  for (const inbox of allHeld(run.inboxes)) {
    const rejected = inbox.waiting.filter((entry) => entry.scope === null);
    inbox.waiting = inbox.waiting.filter((entry) => entry.scope !== null);
    for (const entry of rejected) entry.reject(cancelledError(run));
  }
}

// --- Activities.

function activity(name) {
  const call = (argument = null) => {
    const run = running(name);
    const scope = admit(run);
    if (scope === REFUSED) return refuse(run);
    return new Promise((resolve, reject) => {
      const key = host.schedule(name, argument);
      run.pending = hold(run.pending, enterWait({ key, kind: "activity", name, resolve, reject, scope }));
    });
  };
  define(call, "name", name);
  return call;
}

// What waits for this event; null when it is settled, cancelled, or of another kind than the event.
function take(command, isActivity) {
  const run = current;
  const entry = held(run.pending, command);
  if (entry === undefined || (entry.kind === "activity") !== isActivity) return null;
  run.pending = release(run.pending, command);
  run.nesting = 0;
  leaveWait(run, entry);
  return entry;
}

function completed(command, result) {
  take(command, true)?.resolve(result);
}

function failed(command, error, at) {
  const entry = take(command, true);
  if (entry !== null) entry.reject(activityError(error, entry.name, at));
}

// --- The run's information, as the code sees it: one object for all runs of the realm, which shows the current one.

const runInfo = {};
for (const key of ["id", "namespace", "workflow", "version", "uid"]) {
  Object.defineProperty(runInfo, key, { get: () => host.info(key), enumerable: true });
}
Object.defineProperty(runInfo, "startedAt", { get: () => host.startedAt(), enumerable: true });
