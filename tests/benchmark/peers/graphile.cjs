// graphile-worker, through its own client and worker. See peers.py for the verbs.
const { makeWorkerUtils, run, runOnce, Logger } = require("graphile-worker");
const { Pool } = require("pg");
const { ready, done, doneSince, pause } = require("./starting_gun.cjs");

const [verb, amountText, batchText] = process.argv.slice(2);
const amount = Number(amountText);
const batch = Number(batchText);
const payload = { note: "n".repeat(280) };
const logger = new Logger(() => () => {});

async function main() {
  const pgPool = new Pool({ max: 11 });
  const utils = await makeWorkerUtils({ pgPool, logger });
  if (verb === "prepare") await utils.migrate();
  else if (verb === "pickup") await pickUp(utils, pgPool);
  else {
    const began = ready();
    if (verb === "enqueue") {
      for (let n = 0; n < amount; n++) await utils.addJob("job", payload);
    } else if (verb === "enqueue_batch") {
      for (let first = 0; first < amount; first += batch) {
        await utils.addJobs(Array.from({ length: batch }, () => ({ identifier: "job", payload })));
      }
    } else if (verb === "drain") {
      const concurrency = Math.min(batch, 10);
      await runOnce({ pgPool, logger, concurrency, taskList: { job: async () => {} } });
    }
    doneSince(began);
  }
  await utils.release();
  await pgPool.end();
}

async function pickUp(utils, pgPool) {
  let reached;
  const job = async () => reached?.(performance.now());
  const runner = await run({ pgPool, logger, taskList: { job }, noHandleSignals: true });
  ready();
  await pause(1000);
  const waits = [];
  for (let n = 0; n < amount; n++) {
    await pause(20);
    const arrival = new Promise((resolve) => (reached = resolve));
    await utils.addJob("job", payload);
    const committed = performance.now();
    waits.push(Math.max((await arrival) - committed, 0));
  }
  done(...waits);
  await runner.stop();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
