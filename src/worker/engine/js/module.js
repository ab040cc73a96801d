// The module "everloop" as the user imports it.
const { sleep, signal, onSignal, signalRun, shield, run, CancelledError, ActivityError } = globalThis.everloop;
export { sleep, signal, onSignal, signalRun, shield, run, CancelledError, ActivityError };
