// The component's side: the imports of the contract behind `host`, the export
// `handler`, and what a handler expects of JavaScript and QuickJS does not bring.
import * as hostConfig from "qx:events/config@1.0.0";
import * as hostEmit from "qx:events/emit@1.0.0";
import * as hostLog from "qx:events/log@1.0.0";
import * as hostState from "qx:events/state@1.0.0";
import { getRandomBytes } from "wasi:random/random@0.2.0";

import { setHost } from "./host.js";
import { deliver, log, synchronous } from "./index.js";
import { Reject, Retry, isLasting } from "./outcomes.js";

/** An error of the host, in its words: the next attempt would meet it again. */
function lasting(what, call) {
  try {
    return call();
  } catch (error) {
    throw new Reject(`${what}: ${error?.payload?.val ?? error}`);
  }
}

setHost({
  stateGet: (key) => hostState.get(key) ?? undefined,
  stateSet: (key, value) => lasting("state", () => hostState.set(key, value)),
  stateDelete: (key) => hostState.delete(key),
  emit: (event) => lasting("emit", () => hostEmit.emit(event)),
  configGet: (key) => hostConfig.get(key) ?? undefined,
  log: (level, message) => hostLog.log(level, message),
});

globalThis.console = {
  ...log,
  log: log.info,
  assert: (holds, ...parts) => holds || log.error("assertion failed", ...parts),
};

// The engine's own numbers are the same in every instance: it was started once, when
// the component was built. These are seeded at the first use in each instance.
let words;

function next() {
  if (words === undefined) {
    const bytes = getRandomBytes(16);
    words = new Uint32Array(4);
    for (let i = 0; i < 16; i++) words[i >> 2] |= bytes[i] << (8 * (i & 3));
  }
  // sfc32
  let [a, b, c, counter] = words;
  const result = (a + b + counter) | 0;
  words[3] = counter + 1;
  words[0] = b ^ (b >>> 9);
  words[1] = (c + (c << 3)) | 0;
  words[2] = (((c << 21) | (c >>> 11)) + result) | 0;
  return result >>> 0;
}

Math.random = () => ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000;

globalThis.crypto = {
  getRandomValues(array) {
    const bytes = getRandomBytes(array.byteLength);
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes);
    return array;
  },
  randomUUID() {
    const bytes = Uint8Array.from(getRandomBytes(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  },
};

/** Frames of a traceback that are logged, and that stand in the reason. */
const FRAMES_LOGGED = 15;
const FRAMES_IN_REASON = 3;

/** The frames, with the lines of the sources instead of those of the bundle. */
function frames(error) {
  const source = (whole, line) => {
    const place = globalThis.qxLines?.[line - 1];
    return !place ? whole : `${globalThis.qxSources[place[0]]}:${place[1]}`;
  };
  const lines = String(error?.stack ?? "").split("\n").map((line) => line.trim());
  return lines
    .filter((line) => line.startsWith("at "))
    .map((line) => line.replace(/[^\s()]+:(\d+):\d+/, source))
    .filter((line) => !line.includes("qx-guest/"));
}

function unexpected(error) {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`;
  const at = frames(error);
  log.error(what);
  for (const frame of at.slice(0, FRAMES_LOGGED)) log.error(`    ${frame}`);
  const where = at.slice(0, FRAMES_IN_REASON).join(" < ");
  return where === "" ? what : `${what} (${where})`;
}

function withCause(error) {
  const cause = error.cause;
  if (cause === undefined) return error.message;
  const text = cause instanceof Error ? cause.message : String(cause);
  return error.message.includes(text) ? error.message : `${error.message}: ${text}`;
}

/** What a handler throws, as the contract has it. */
function declining(call) {
  try {
    call();
  } catch (error) {
    if (isLasting(error)) throw { tag: "reject", val: withCause(error) };
    const after = error instanceof Retry ? error.afterMs : undefined;
    const reason = error instanceof Retry ? withCause(error) : unexpected(error);
    throw { tag: "retry", val: { reason, after: after === undefined ? undefined : Math.max(0, Math.round(after)) } };
  }
}

export const handler = {
  handle(given) {
    const { payload: payloadText, ...rest } = given;
    const event = { ...rest, payloadText };
    for (const [name, value] of Object.entries(event)) if (value === null) delete event[name];
    declining(() => deliver(event));
  },
};

/** A function that a world of the project's own exports. */
export const typed = (name, handle) => (...given) => declining(() => synchronous(name, handle(...given)));
