/** Event handlers for Qx Host in TypeScript. */

/** An event, as its producer recorded it. */
export interface Event<T = unknown> {
  /** A UUID, the same on every attempt: the idempotency key for effects elsewhere. */
  readonly id: string;
  /** For instance `github.star.created`. */
  readonly name: string;
  /** Version of the payload's shape, from 1. */
  readonly version: number;
  /** ISO 8601, as the producer wrote it. */
  readonly occurredAt: string;
  readonly correlationId?: string;
  readonly causationId?: string;
  readonly tenantId?: string;
  readonly actorId?: string;
  /** W3C trace context of the delivery. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** Which attempt this is, from 1. */
  readonly attempt: number;
  /** What the JSON says, or what `parse` made of it. */
  readonly payload: T;
  /** The payload byte for byte as it arrived. */
  readonly payloadText: string;
}

/** How a handler takes its events. */
export interface Options<T> {
  /** Versions of the payload that it takes; `[1]` when left out. */
  versions?: readonly number[] | "any";
  /** Checks the payload. What it throws rejects the event. */
  parse?: (payload: unknown) => T;
}

/**
 * Takes the events of these names, or patterns: `order.*`, `order.>`. When `handle`
 * returns, state and emitted events are committed: once, or not at all. When it
 * throws, nothing is kept. It is synchronous: a promise has nobody who waits for it.
 */
export function handler<T = any>(events: string | readonly string[], handle: (event: Event<T>) => void): void;
export function handler<T = any>(
  events: string | readonly string[],
  options: Options<T>,
  handle: (event: Event<T>) => void,
): void;

/** Thrown when it may work later. After the last attempt the event becomes a dead letter. */
export class Retry extends Error {
  /** `afterMs`: not sooner than this; left out, the host's backoff decides. */
  constructor(reason: string, options?: { afterMs?: number; cause?: unknown });
  readonly afterMs?: number;
}

/** Thrown when it will never work: a dead letter at once. */
export class Reject extends Error {
  constructor(reason: string, options?: { cause?: unknown });
}

/** Values of this component and this tenant, as JSON. A limit that is hit is a `Reject`. */
export const state: {
  get<T = any>(key: string): T | undefined;
  set(key: string, value: unknown): void;
  getText(key: string): string | undefined;
  setText(key: string, text: string): void;
  delete(key: string): void;
};

/** What can be said of an event that is emitted. */
export interface EmitOptions {
  /** Version of the payload's shape; 1 when left out. */
  version?: number;
  /** Events of one key are handled one after the other where a component asks for it. Not inherited. */
  key?: string;
  /** Leaves not before so many milliseconds after the commit, at most 366 days. It holds over restarts. */
  afterMs?: number;
  /** Leaves not before this time: a date, or ISO 8601 with an offset. */
  at?: Date | string;
}

/** An event that leaves with the commit, or later. Returns its id. */
export function emit(name: string, payload: unknown, options?: EmitOptions): string;

/** Secrets of the operator that the component is granted. One that is not granted is a `Retry`. */
export const secrets: { get(name: string): string };

/** How a request is sent. */
export interface RequestOptions {
  /** `GET`, or `POST` where there is a body. */
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** The body as JSON, with its content type. */
  json?: unknown;
  /** At most what the call has left. */
  timeoutMs?: number;
  /** For effects that must not happen twice: `event.id`. */
  idempotencyKey?: string;
}

export interface HttpResponse {
  readonly status: number;
  /** From 200 to 299. */
  readonly ok: boolean;
  readonly headers: Iterable<[string, string]> & { get(name: string): string | undefined };
  text(): string;
  json<T = any>(): T;
  bytes(): Uint8Array;
  /** Throws an `HttpError` unless it is `ok`: 5xx, 408, 425 and 429 are tried again, the others rejected. */
  ensureOk(): HttpResponse;
}

/**
 * Thrown when there is no answer, and by `ensureOk`. Nobody catches it: `invalid` and
 * `limit` reject the event, everything else is tried again.
 */
export class HttpError extends Retry {
  readonly kind: "denied" | "invalid" | "limit" | "timeout" | "connect" | "tls" | "protocol" | "status";
  readonly status?: number;
}

/**
 * Requests to where the component is granted to send them. They wait; redirects are
 * answers. What they change elsewhere can happen more than once.
 */
export const http: {
  fetch(url: string, options?: RequestOptions): HttpResponse;
  get(url: string, options?: RequestOptions): HttpResponse;
  post(url: string, options?: RequestOptions): HttpResponse;
};

/** A parameter of a statement. A text can be a time, a UUID, an exact number or JSON. */
export type SqlValue = null | undefined | boolean | number | bigint | string | Date | Uint8Array;

/**
 * Thrown when a statement was not done. Nothing of it is kept, what was done before is,
 * and the handler may catch it and go on. Nobody catches it: `limit` rejects the event,
 * `refused` is tried again.
 */
export class SqlError extends Retry {
  readonly kind: "refused" | "limit";
  /** SQLSTATE of what the database refused: five characters to go by. */
  readonly sqlstate?: string;
  /** Whether a key that must be unique is there already: `23505`. */
  readonly isDuplicate: boolean;
}

/**
 * SQL in the host's PostgreSQL, as a role that the component is granted. Parameters
 * stand for `$1`, `$2`. All statements of a call are one transaction, which commits with
 * state and emitted events, or not at all.
 */
export const sql: {
  /**
   * The rows of one statement, each an object with a member for each column. What is
   * beyond 2^53 is rounded, as in all JSON here: select it as text.
   */
  query<T = any>(statement: string, parameters?: readonly SqlValue[]): T[];
  /** The first row, if there is one. */
  queryOne<T = any>(statement: string, parameters?: readonly SqlValue[]): T | undefined;
  /** Runs one statement. How many rows it changed. */
  execute(statement: string, parameters?: readonly SqlValue[]): number;
};

/** Settings from the component's `<name>.toml`. */
export const config: { get(key: string): string | undefined };

/** Lines of the component's log. `console` writes there as well. */
export const log: Record<"trace" | "debug" | "info" | "warn" | "error", (...parts: unknown[]) => void>;
