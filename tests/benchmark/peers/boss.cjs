// pg-boss, through its own client and worker. See peers.py for the verbs.
const exported = require("pg-boss");
const PgBoss = exported.PgBoss ?? exported.default ?? exported;
const { ready, done, doneSince, pause } = require("./starting_gun.cjs");

const [verb, amountText, batchText] = process.argv.slice(2);
const amount = Number(amountText);
const batch = Number(batchText);
const data = { note: "n".repeat(280) };

async function main() {
  const boss = new PgBoss({
    host: process.env.PGHOST,
    port: Number(process.env.PGPORT),
    user: process.env.PGUSER,
    database: process.env.PGDATABASE,
    supervise: false,
    schedule: false,
  });
  boss.on("error", console.error);
  await boss.start();
  if (verb === "prepare") await boss.createQueue("bench");
  else if (verb === "pickup") await pickUp(boss);
  else {
    const began = ready();
    if (verb === "enqueue") {
      for (let n = 0; n < amount; n++) await boss.send("bench", data);
    } else if (verb === "enqueue_batch") {
      for (let first = 0; first < amount; first += batch) {
        await boss.insert(Array.from({ length: batch }, () => ({ name: "bench", data })));
      }
    } else if (verb === "drain") {
      for (;;) {
        const jobs = await boss.fetch("bench", { batchSize: batch });
        if (!jobs || jobs.length === 0) break;
        await boss.complete("bench", jobs.map((job) => job.id));
      }
    }
    doneSince(began);
  }
  await boss.stop({ graceful: false });
  process.exit(0);
}

async function pickUp(boss) {
  let reached;
  // It polls; half a second is the shortest that it accepts.
  await boss.work("bench", { pollingIntervalSeconds: 0.5 }, async () => reached?.(performance.now()));
  ready();
  const waits = [];
  for (let n = 0; n < amount; n++) {
    await pause(20);
    const arrival = new Promise((resolve) => (reached = resolve));
    await boss.send("bench", data);
    const committed = performance.now();
    waits.push(Math.max((await arrival) - committed, 0));
  }
  done(...waits);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
