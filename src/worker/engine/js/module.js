// The module "everloop" as the user imports it.
const { sleep, signal, onSignal, shield, run, CancelledError, ActivityError } = globalThis.everloop;
export { sleep, signal, onSignal, shield, run, CancelledError, ActivityError };
