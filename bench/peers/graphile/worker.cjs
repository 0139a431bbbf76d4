// Runs graphile-worker as npm has it.
//
//     node worker.cjs DATABASE_URL schema
//     node worker.cjs DATABASE_URL noop|row|effect CONCURRENCY
//
// `schema` makes its tables. The others run jobs, whose payload is the envelope of an event. Its
// modules are found through NODE_PATH. Says `ready` once it looks for jobs, and
// `ran JOBS ADDED` whenever that has changed: how many of the bench's jobs it has run, and
// how many that they added. Ends, gracefully, once its standard input does.
"use strict";

const { run, runMigrations, Logger } = require("graphile-worker");

const [url, role, concurrency = "1"] = process.argv.slice(2);
const concurrentJobs = Number(concurrency);

// Milliseconds between two lines about how far it is.
const SAY_EVERY_MS = 10;

const COUNT = `INSERT INTO bench_state AS state (customer, orders, last) VALUES ($1, 1, $2)
  ON CONFLICT (customer) DO UPDATE SET orders = state.orders + 1, last = excluded.last`;

// The row of one event.
const ROW = { name: "bench_row", text: COUNT };

// The row and the job of one event, in one statement: one transaction and one way to the
// database and back, which is less than a task needs that opens a transaction.
const ROW_AND_JOB = {
  name: "bench_row_and_job",
  text: `WITH counted AS (${COUNT} RETURNING customer, orders)
    SELECT graphile_worker.add_job('counted', json_build_object('order', $3::bigint, 'customer', customer, 'orders', orders))
    FROM counted`,
};

let jobs = 0;
let added = 0;

const tasks = {
  noop: {
    placed: () => void jobs++,
  },
  row: {
    placed: async ({ event_id, payload }, { withPgClient }) => {
      await withPgClient((client) => client.query({ ...ROW, values: [payload.customer, event_id] }));
      jobs++;
    },
  },
  effect: {
    placed: async ({ event_id, payload }, { withPgClient }) => {
      const values = [payload.customer, event_id, payload.order];
      await withPgClient((client) => client.query({ ...ROW_AND_JOB, values }));
      jobs++;
    },
    // What our host does with an emitted event is to relay it; here it is taken up and done.
    counted: () => void added++,
  },
};

// As its page on performance has it, but for what is logged of each job.
const preset = {
  worker: {
    connectionString: url,
    concurrentJobs,
    maxPoolSize: concurrentJobs + 1,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
    logger: new Logger(() => (level, message) => {
      if (level === "error" || level === "warning") console.log(`${level}: ${message}`);
    }),
  },
};

async function main() {
  if (role === "schema") return await runMigrations({ preset });
  const runner = await run({ preset, taskList: tasks[role], noHandleSignals: true });
  console.log("ready");
  let said = "";
  const say = () => {
    const line = `ran ${jobs} ${added}`;
    if (line !== said) console.log(line);
    said = line;
  };
  const timer = setInterval(say, SAY_EVERY_MS);
  process.stdin.resume().once("end", async () => {
    await runner.stop();
    clearInterval(timer);
    say();
    process.exit(0);
  });
  await runner.promise;
}

main().catch((error) => {
  console.log(`error: ${error.stack}`);
  process.exit(1);
});
