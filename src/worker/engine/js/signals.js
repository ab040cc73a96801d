// signal, onSignal and signalRun. A signal that nobody waits for is kept, in order, until somebody asks.

function inbox(run, name) {
  let box = held(run.inboxes, name);
  if (box === undefined) {
    box = { key: name, buffered: null, waiting: [], handler: null };
    run.inboxes = hold(run.inboxes, box);
  }
  return box;
}

function signalName(what, name) {
  if (typeof name !== "string" || name === "") throw new TypeError(`${what} takes the name of a signal, not ${show(name)}`);
  host.listen(name);
  return name;
}

function signal(name) {
  const run = running("signal");
  const scope = admit(run);
  if (scope === REFUSED) return refuse(run);
  return new Promise((resolve, reject) => {
    const box = inbox(run, signalName("signal", name));
    if (box.buffered !== null) resolve(takeBuffered(box));
    else box.waiting.push(enterWait({ resolve, reject, scope }));
  });
}

function takeBuffered(box) {
  const payload = box.buffered.shift();
  if (box.buffered.length === 0) box.buffered = null;
  return payload;
}

// A signal to another run. Settled when it is in that run's mailbox, or when that run cannot take it.
function signalRun(id, name, payload = null) {
  const run = running("signalRun");
  if (typeof id !== "string" || id === "") throw new TypeError(`signalRun takes the id of a run, not ${show(id)}`);
  if (typeof name !== "string" || name === "") throw new TypeError(`signalRun takes the name of a signal, not ${show(name)}`);
  const scope = admit(run);
  if (scope === REFUSED) return refuse(run);
  return new Promise((resolve, reject) => {
    const key = host.signalRun(id, name, payload);
    run.pending = hold(run.pending, enterWait({ key, kind: "activity", name: "signalRun", resolve, reject, scope }));
  });
}

function onSignal(name, handler) {
  const run = running("onSignal");
  if (typeof handler !== "function") throw new TypeError("onSignal takes the name of a signal and a function");
  const box = inbox(run, signalName("onSignal", name));
  box.handler = handler;
  // Later, one job each, so that the caller's next line runs before the first of them.
  const buffered = box.buffered ?? [];
  box.buffered = null;
  for (const payload of buffered) settled.then(() => attempt(run, handler, [payload]));
}

function signalled(name, payload) {
  const run = current;
  run.nesting = 0;
  run.scope = null;
  const box = inbox(run, name);
  if (box.waiting.length > 0) {
    const entry = box.waiting.shift();
    leaveWait(run, entry);
    entry.resolve(payload);
  } else if (box.handler !== null) {
    attempt(run, box.handler, [payload]);
  } else {
    (box.buffered ??= []).push(payload);
  }
}

// Names of signals that were never read, for the warning when the run ends.
function unread() {
  return allHeld(current.inboxes).filter((box) => box.buffered !== null).map((box) => box.key);
}
