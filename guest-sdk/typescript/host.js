// Stands for the host: set by component.js, or by testing.js.

/** @type {any} */
let host;

export function setHost(other) {
  host = other;
}

/** More of it, for what a handler imports beside the usual. */
export function addHost(more) {
  Object.assign(host, more);
}

export function theHost() {
  if (host === undefined) {
    throw new Error("there is no host: what a handler uses of it is for handlers, not for the top of a module");
  }
  return host;
}
