/** Calls handlers natively: no component, no host. */

export interface Given {
  version?: number;
  tenantId?: string;
  attempt?: number;
  /** State there was before. */
  state?: Record<string, unknown>;
  /** Settings. */
  config?: Record<string, string>;
}

export interface Seen {
  outcome: "done" | { retry: { reason: string; afterMs?: number } } | { reject: string } | { threw: unknown };
  /** Empty unless the handler is done. */
  emitted: { name: string; version: number; payload: any; key?: string; afterMs?: number; at?: string }[];
  /** What the call wrote; `null` where it deleted. Empty unless the handler is done. */
  state: Record<string, any>;
  logs: { level: string; message: string }[];
}

/** Gives an event to the handler that takes it. */
export function deliver(name: string, payload: unknown, given?: Given): Seen;
