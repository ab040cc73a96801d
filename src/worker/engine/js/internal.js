// The module "everloop/internal": imported only by the line that is added to sources whose realm may be shared.
const { freezeReachable } = globalThis.everloop;
export default (...bindings) => freezeReachable(bindings);
