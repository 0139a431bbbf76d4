// In a component whose handlers use `sql`.
import * as hostSql from "qx:events/sql@1.0.0";

import { addHost } from "./host.js";

function asked(call) {
  try {
    return call();
  } catch (error) {
    const { tag, val } = error?.payload ?? {};
    if (tag === "refused") return { error: { kind: tag, message: val.message, sqlstate: val.sqlstate } };
    return { error: { kind: "limit", message: val ?? String(error) } };
  }
}

addHost({
  sqlQuery: (statement, parameters) => asked(() => ({ rows: hostSql.query(statement, parameters) })),
  sqlExecute: (statement, parameters) => asked(() => ({ changed: Number(hostSql.execute(statement, parameters)) })),
});
