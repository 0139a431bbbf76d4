// A host that is none: keeps what a handler does, for a test to look at.
import { setHost } from "./host.js";
import { deliver as call } from "./index.js";
import { Retry, isLasting } from "./outcomes.js";

export function deliver(name, payload, { version = 1, tenantId, attempt = 1, state = {}, config = {}, secrets = {}, http, sql } = {}) {
  const [written, emitted, logs, requests, statements] = [{}, [], [], [], []];
  const run = (text, values) => {
    const parameters = values.map(({ tag, val }) => (tag === "null" ? null : val));
    statements.push({ text, parameters });
    const answer = sql?.(text, parameters) ?? { sqlstate: "58000", message: `the test gives no answer to \`${text}\`` };
    if (answer.sqlstate !== undefined) return { error: { kind: "refused", message: "in a test", ...answer } };
    if (Array.isArray(answer)) return { rows: answer.map((row) => JSON.stringify(row)), changed: answer.length };
    return { rows: [], changed: answer };
  };
  setHost({
    stateGet(key) {
      if (key in written) return written[key] ?? undefined;
      return key in state ? JSON.stringify(state[key]) : undefined;
    },
    stateSet: (key, value) => void (written[key] = value),
    stateDelete: (key) => void (written[key] = null),
    emit({ name, version, payload, orderingKey, due }) {
      const event = { name, version, payload: JSON.parse(payload) };
      if (orderingKey !== undefined) event.key = orderingKey;
      if (due?.tag === "after") event.afterMs = due.val;
      if (due?.tag === "at") event.at = due.val;
      return `emitted-${emitted.push(event)}`;
    },
    configGet: (key) => config[key],
    secret: (name) => (name in secrets ? { value: secrets[name] } : { denied: `the test has no secret \`${name}\`` }),
    httpSend(request) {
      requests.push(request);
      const answer = http?.(request);
      if (answer === undefined) {
        return { error: { kind: "denied", message: `the test has no answer for ${request.method} ${request.url}` } };
      }
      if (answer.error !== undefined) return { error: { kind: answer.error, message: answer.message ?? "in a test" } };
      const headers = Object.entries(answer.headers ?? {});
      return {
        status: answer.status ?? 200,
        headers: headers.map(([name, value]) => ({ name: name.toLowerCase(), value })),
        body: answer.json === undefined ? (answer.body ?? "") : JSON.stringify(answer.json),
      };
    },
    sqlQuery: run,
    sqlExecute: run,
    log: (level, message) => void logs.push({ level, message }),
  });
  const event = {
    id: "6f1f5e0e-7d2f-4a35-9d2c-8e0f4a3f1b10",
    name,
    version,
    occurredAt: "2026-03-01T10:00:00Z",
    tenantId,
    attempt,
    payloadText: JSON.stringify(payload),
  };
  const nothing = { emitted: [], state: {}, logs, requests, statements };
  try {
    call(event);
  } catch (error) {
    if (isLasting(error)) return { outcome: { reject: error.message }, ...nothing };
    if (!(error instanceof Retry)) return { outcome: { threw: error }, ...nothing };
    const retry = { reason: error.message };
    if (error.afterMs !== undefined) retry.afterMs = error.afterMs;
    return { outcome: { retry }, ...nothing };
  } finally {
    setHost(undefined);
  }
  const value = (text) => {
    try {
      return text === null ? null : JSON.parse(text);
    } catch {
      return text; // Written with `setText`.
    }
  };
  const after = Object.fromEntries(Object.entries(written).map(([key, text]) => [key, value(text)]));
  return { outcome: "done", emitted, state: after, logs, requests, statements };
}
