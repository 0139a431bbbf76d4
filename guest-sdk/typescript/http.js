// Requests to where the component is granted to send them. In a module of its own:
// who does not use it does not ask for the right to.
import { theHost } from "./host.js";
import { Reject, Retry } from "./outcomes.js";

/** Statuses that may be others the next time. */
const PASSING = new Set([408, 425, 429]);

/** A second, in milliseconds. */
const SECOND_MS = 1000;

export class HttpError extends Retry {
  constructor(kind, message, { status, afterMs } = {}) {
    super(message, { afterMs });
    this.name = "HttpError";
    this.kind = kind;
    this.status = status;
    const refused = kind === "status" && status < 500 && !PASSING.has(status);
    this.lasting = kind === "invalid" || kind === "limit" || refused;
  }
}

class Headers {
  #list;

  constructor(list) {
    this.#list = list;
  }

  /** The values of this name, or undefined. */
  get(name) {
    const own = this.#list.filter((header) => header.name === name.toLowerCase());
    return own.length === 0 ? undefined : own.map((header) => header.value).join(", ");
  }

  [Symbol.iterator]() {
    return this.#list.map(({ name, value }) => [name, value])[Symbol.iterator]();
  }
}

class Response {
  #where;
  #body;

  constructor(where, { status, headers, body }) {
    this.#where = where;
    this.#body = body;
    this.status = status;
    this.ok = status >= 200 && status < 300;
    this.headers = new Headers(headers);
  }

  text() {
    if (typeof this.#body === "string") return this.#body;
    throw new Reject(`the answer of ${this.#where} is no text`);
  }

  json() {
    try {
      return JSON.parse(this.text());
    } catch (error) {
      throw new Reject(`the answer of ${this.#where} is no JSON`, { cause: error });
    }
  }

  bytes() {
    return typeof this.#body === "string" ? utf8(this.#body) : this.#body;
  }

  ensureOk() {
    if (this.ok) return this;
    const seconds = Number(this.headers.get("retry-after") ?? NaN);
    const afterMs = Number.isFinite(seconds) && seconds >= 0 ? seconds * SECOND_MS : undefined;
    throw new HttpError("status", `${this.#where} answered ${this.status}`, { status: this.status, afterMs });
  }
}

/** QuickJS has no TextEncoder. */
function utf8(text) {
  const escaped = encodeURIComponent(text).replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Uint8Array.from(escaped, (char) => char.charCodeAt(0));
}

/** Method and host: what is behind it may be a secret. */
function place(method, url) {
  const host = /^[a-z]+:\/\/([^/?#\\]*)/i.exec(url)?.[1] ?? "";
  return `${method} ${host.slice(host.lastIndexOf("@") + 1)}`;
}

function send(url, { method, headers = {}, body, json, timeoutMs, idempotencyKey } = {}) {
  const list = Object.entries(headers).map(([name, value]) => ({ name, value: String(value) }));
  const add = (name, value) => {
    if (!list.some((header) => header.name.toLowerCase() === name)) list.push({ name, value });
  };
  if (json !== undefined) {
    body = JSON.stringify(json);
    if (body === undefined) throw new Reject(`the body for ${place(method ?? "POST", String(url))} has no form in JSON`);
    add("content-type", "application/json");
  }
  if (idempotencyKey !== undefined) add("idempotency-key", String(idempotencyKey));
  const how = (method ?? (body === undefined ? "GET" : "POST")).toUpperCase();
  const where = place(how, String(url));
  const answer = theHost().httpSend({ method: how, url: String(url), headers: list, body, timeoutMs });
  if (answer.error !== undefined) throw new HttpError(answer.error.kind, `${where}: ${answer.error.message}`);
  return new Response(where, answer);
}

export const http = {
  fetch: send,
  get: (url, options) => send(url, { ...options, method: "GET" }),
  post: (url, options) => send(url, { ...options, method: "POST" }),
};
