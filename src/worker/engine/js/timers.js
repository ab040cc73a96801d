// sleep, setTimeout, setInterval.
//
// A delay of zero fires in the same turn, after the jobs, and is no command. Timers that start timers five deep, and every
// interval, take at least 1 ms and are durable: a loop over zero delays cannot hold the turn for ever.

const NESTING_MAX = 5;

function atLeast(run, ms) {
  return ms === 0 && run.nesting >= NESTING_MAX ? 1 : ms;
}

function milliseconds(duration) {
  if (typeof duration === "string") return host.duration(duration);
  if (typeof duration === "number" && duration >= 0 && duration <= Number.MAX_SAFE_INTEGER) return Math.round(duration);
  throw new TypeError(`sleep takes milliseconds or a duration such as "250ms", "10s" or "1h30m", not ${show(duration)}`);
}

function sleep(duration) {
  const run = running("sleep");
  const scope = admit(run);
  if (scope === REFUSED) return refuse(run);
  return new Promise((resolve, reject) => {
    const ms = atLeast(run, milliseconds(duration));
    const level = run.nesting + 1;
    if (ms === 0) (run.zero ??= []).push(enterWait({ kind: "sleep", resolve, reject, scope, level }));
    else {
      const key = host.timer("sleep", ms, -1);
      run.pending = hold(run.pending, enterWait({ key, kind: "sleep", resolve, reject, scope, level }));
    }
  });
}

function startTimer(name, callback, delay, args) {
  const run = running(name);
  if (typeof callback !== "function") throw new TypeError(`${name} takes a function and milliseconds`);
  let ms = Math.min(Math.max(Math.trunc(Number(delay)) || 0, 0), Number.MAX_SAFE_INTEGER);
  ms = name === "setInterval" ? Math.max(ms, 1) : atLeast(run, ms);
  const scope = scopeOf(run);
  run.timers ??= { last: 0, byId: new Map() };
  const id = ++run.timers.last;
  const timer = enterWait({ kind: name, id, callback, args, ms, scope, level: run.nesting + 1, key: -1, reject: null });
  run.timers.byId.set(id, timer);
  if (ms === 0) {
    (run.zero ??= []).push(timer);
  } else {
    timer.key = host.timer(name, ms, -1);
    run.pending = hold(run.pending, timer);
  }
  return id;
}

function clearTimer(id) {
  const run = running("clearTimeout");
  const timer = run.timers?.byId.get(Number(id));
  if (timer === undefined) return;
  run.timers.byId.delete(timer.id);
  if (timer.waiting === false) return; // an interval inside of its own callback
  if (timer.scope !== null) timer.scope.pending--;
  if (timer.key === -1) {
    run.zero.splice(run.zero.indexOf(timer), 1);
  } else {
    run.pending = release(run.pending, timer.key);
    host.cancelTimer(timer.key);
  }
}

function fire(run, entry) {
  run.nesting = entry.level;
  if (entry.kind === "sleep") {
    entry.resolve();
    return;
  }
  const again = entry.kind === "setInterval";
  if (!again) run.timers.byId.delete(entry.id);
  entry.waiting = false;
  attempt(run, entry.callback, entry.args);
  if (again && run.timers.byId.has(entry.id)) {
    entry.waiting = true;
    enterWait(entry);
    entry.key = host.timer(entry.kind, entry.ms, entry.key);
    run.pending = hold(run.pending, entry);
  }
}

// A durable timer fell due.
function fired(command) {
  const entry = take(command, false);
  if (entry !== null) fire(current, entry);
}

// The first timer of zero length fires; false when there is none.
function fireZero() {
  const run = current;
  const entry = run.zero?.shift();
  if (entry === undefined) {
    run.zero = null;
    return false;
  }
  leaveWait(run, entry);
  fire(run, entry);
  return true;
}

// The turn is over. Sleeps that a cancel has rejected are taken back only now: a run that ends in the same turn needs no commands for it.
function endTurn() {
  const run = current;
  run.nesting = 0;
  run.scope = null;
  if (run.forgotten === null) return;
  for (const command of run.forgotten) host.cancelTimer(command);
  run.forgotten = null;
}
