// graphile-worker, through its own client and worker. See peers.py for the verbs.
const { makeWorkerUtils, runOnce, Logger } = require("graphile-worker");
const { Pool } = require("pg");

const [verb, amountText, batchText] = process.argv.slice(2);
const amount = Number(amountText);
const batch = Number(batchText);
const payload = { note: "n".repeat(280) };
const logger = new Logger(() => () => {});

async function main() {
  const pgPool = new Pool({ max: 11 });
  const utils = await makeWorkerUtils({ pgPool, logger });
  let began = process.hrtime.bigint();
  if (verb === "prepare") {
    await utils.migrate();
  } else if (verb === "enqueue") {
    for (let n = 0; n < amount; n++) await utils.addJob("job", payload);
  } else if (verb === "enqueue_batch") {
    for (let first = 0; first < amount; first += batch) {
      await utils.addJobs(Array.from({ length: batch }, () => ({ identifier: "job", payload })));
    }
  } else if (verb === "drain") {
    await runOnce({ pgPool, logger, concurrency: 10, taskList: { job: async () => {} } });
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  await utils.release();
  await pgPool.end();
  console.log(amount / seconds);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
