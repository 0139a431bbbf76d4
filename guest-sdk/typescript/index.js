// What a handler uses. Nothing here knows whether it runs in a component or in a
// test: `host` is set by component.js, or by testing.js.

import { theHost } from "./host.js";
import { Reject } from "./outcomes.js";

export { setHost } from "./host.js";
export { HttpError, http } from "./http.js";
export { Reject, Retry } from "./outcomes.js";
export { secrets } from "./secrets.js";
export { SqlError, sql } from "./sql.js";

/** In the order in which they stand in the sources. */
const handlers = [];

export function handler(events, options, handle) {
  if (typeof options === "function") [options, handle] = [{}, options];
  if (typeof handle !== "function") throw new TypeError("handler: the last argument is the function that handles");
  const patterns = typeof events === "string" ? [events] : [...events];
  const versions = options.versions ?? [1];
  if (versions !== "any" && !versions.every((version) => Number.isInteger(version) && version > 0)) {
    throw new TypeError("handler: versions are numbers from 1, or \"any\"");
  }
  handlers.push({ patterns, versions, parse: options.parse, handle });
}

/** What the host reads of a component: one line for each pattern. */
export function routes() {
  const line = (pattern, versions) => `handler\t${pattern}\t${versions === "any" ? "*" : versions.join(",")}\n`;
  return handlers.flatMap(({ patterns, versions }) => patterns.map((pattern) => line(pattern, versions))).join("");
}

/** `*` stands for one word, `>` at the end for one or more. */
function takes(pattern, name) {
  const [want, have] = [pattern.split("."), name.split(".")];
  if (want.at(-1) === ">" && have.length >= want.length) {
    want.pop();
    have.length = want.length;
  }
  return want.length === have.length && want.every((word, i) => word === "*" || word === have[i]);
}

/** The one with the event's own name, else the first whose pattern takes it. */
function handlerFor(event) {
  const fits = handlers.filter(({ versions }) => versions === "any" || versions.includes(event.version));
  return (
    fits.find(({ patterns }) => patterns.includes(event.name)) ??
    fits.find(({ patterns }) => patterns.some((pattern) => takes(pattern, event.name)))
  );
}

function payload(event, parse) {
  try {
    const value = JSON.parse(event.payloadText);
    return parse === undefined ? value : parse(value);
  } catch (error) {
    throw new Reject(`the payload does not fit: ${error?.message ?? error}`, { cause: error });
  }
}

/** Calls the handler for an event, whose payload is still text. */
export function deliver(event) {
  const found = handlerFor(event);
  if (found === undefined) {
    throw new Reject(`no handler of this component takes ${event.name} version ${event.version}`);
  }
  synchronous(event.name, found.handle({ ...event, payload: payload(event, found.parse) }));
}

/** Nobody waits for a promise. */
export function synchronous(name, answer) {
  if (typeof answer?.then !== "function") return;
  answer.then(undefined, () => {});
  throw new Reject(`the handler of ${name} returned a promise: handlers are synchronous, without async`);
}

export const state = {
  get(key) {
    const text = theHost().stateGet(key);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Reject(`the state at \`${key}\` is no JSON`, { cause: error });
    }
  },
  set(key, value) {
    theHost().stateSet(key, json(value, `the value for the state at \`${key}\``));
  },
  getText: (key) => theHost().stateGet(key),
  setText: (key, text) => theHost().stateSet(key, String(text)),
  delete: (key) => theHost().stateDelete(key),
};

export function emit(name, payload, { version = 1, key, afterMs, at } = {}) {
  const text = json(payload, `the payload of ${name}`);
  return theHost().emit({ name, version, payload: text, orderingKey: key, due: due(name, afterMs, at) });
}

/** When an event leaves that is not to leave at once. */
function due(name, afterMs, at) {
  if (afterMs !== undefined && at !== undefined) throw new Reject(`${name} is due after a pause or at a time, not both`);
  if (afterMs !== undefined) {
    if (!(afterMs >= 0 && afterMs < Infinity)) throw new Reject(`${name} cannot be due after ${afterMs} ms`);
    return { tag: "after", val: Math.round(afterMs) };
  }
  if (at === undefined) return undefined;
  if (!(at instanceof Date)) return { tag: "at", val: String(at) };
  if (Number.isNaN(at.getTime())) throw new Reject(`${name} cannot be due at an invalid date`);
  return { tag: "at", val: at.toISOString() };
}

function json(value, what) {
  const text = JSON.stringify(value);
  if (text === undefined) throw new Reject(`${what} has no form in JSON`);
  return text;
}

export const config = { get: (key) => theHost().configGet(key) };

/** As people expect of `console.log`. */
export function text(parts) {
  const one = (part) => {
    if (typeof part === "string") return part;
    if (part instanceof Error) return `${part.name}: ${part.message}`;
    return JSON.stringify(part) ?? String(part);
  };
  return parts.map(one).join(" ");
}

const line = (level) => (...parts) => theHost().log(level, text(parts));
export const log = {
  trace: line("trace"),
  debug: line("debug"),
  info: line("info"),
  warn: line("warn"),
  error: line("error"),
};
