/** Calls handlers natively: no component, no host. */
import type { HttpError } from "./index.js";

export interface Given {
  version?: number;
  tenantId?: string;
  attempt?: number;
  /** State there was before. */
  state?: Record<string, unknown>;
  /** Settings. */
  config?: Record<string, string>;
  /** Secrets that the component is granted. */
  secrets?: Record<string, string>;
  /** Stands for the servers: what it returns is the answer, `undefined` is `denied`. */
  http?: (request: Sent) => Answer | undefined;
  /** Stands for the database: rows, how many rows were changed, or a refusal. */
  sql?: (statement: string, parameters: unknown[]) => object[] | number | Refusal | undefined;
}

/** What the database says of a statement that it does not do. */
export interface Refusal {
  sqlstate: string;
  message?: string;
}

/** A request that a handler sent. */
export interface Sent {
  method: string;
  url: string;
  headers: { name: string; value: string }[];
  body?: string | Uint8Array;
  timeoutMs?: number;
}

/** What a server says, or that there was no answer. */
export type Answer =
  | { status?: number; headers?: Record<string, string>; body?: string | Uint8Array; json?: unknown }
  | { error: HttpError["kind"]; message?: string };

export interface Seen {
  outcome: "done" | { retry: { reason: string; afterMs?: number } } | { reject: string } | { threw: unknown };
  /** Empty unless the handler is done. */
  emitted: { name: string; version: number; payload: any; key?: string; afterMs?: number; at?: string }[];
  /** What the call wrote; `null` where it deleted. Empty unless the handler is done. */
  state: Record<string, any>;
  logs: { level: string; message: string }[];
  /** The requests that the handler sent, whatever became of it. */
  requests: Sent[];
  /** The statements that it ran, whatever became of it. */
  statements: { text: string; parameters: unknown[] }[];
}

/** Gives an event to the handler that takes it. */
export function deliver(name: string, payload: unknown, given?: Given): Seen;
