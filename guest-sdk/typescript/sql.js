// Statements in the host's PostgreSQL, as the component's own role. In a module of its
// own: who does not use it does not ask for the right to.
import { theHost } from "./host.js";
import { Reject, Retry } from "./outcomes.js";

/** A key that must be unique is there already. */
const UNIQUE_VIOLATION = "23505";

export class SqlError extends Retry {
  constructor(kind, message, sqlstate) {
    super(sqlstate === undefined ? `sql: ${message}` : `sql: ${message} (${sqlstate})`);
    this.name = "SqlError";
    this.kind = kind;
    this.sqlstate = sqlstate;
    this.lasting = kind === "limit";
  }

  get isDuplicate() {
    return this.sqlstate === UNIQUE_VIOLATION;
  }
}

/** A parameter as the contract has it. A bigint goes as text, which is as exact. */
function value(given, index) {
  if (given === null || given === undefined) return { tag: "null" };
  if (typeof given === "boolean") return { tag: "boolean", val: given };
  if (typeof given === "string") return { tag: "text", val: given };
  if (typeof given === "bigint") return { tag: "text", val: String(given) };
  if (typeof given === "number") return { tag: Number.isSafeInteger(given) ? "integer" : "number", val: given };
  if (given instanceof Uint8Array) return { tag: "bytes", val: given };
  if (given instanceof Date && !Number.isNaN(given.getTime())) return { tag: "text", val: given.toISOString() };
  throw new Reject(`sql: parameter $${index + 1} is no value of SQL; JSON is a text, made with JSON.stringify`);
}

function run(how, statement, parameters) {
  const answer = theHost()[how](String(statement), parameters.map(value));
  const { error } = answer;
  if (error !== undefined) throw new SqlError(error.kind, error.message, error.sqlstate);
  return answer;
}

function query(statement, parameters = []) {
  return run("sqlQuery", statement, parameters).rows.map((row) => JSON.parse(row));
}

export const sql = {
  query,
  queryOne: (statement, parameters) => query(statement, parameters)[0],
  execute: (statement, parameters = []) => run("sqlExecute", statement, parameters).changed,
};
