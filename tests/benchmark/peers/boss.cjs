// pg-boss, through its own client. See peers.py for the verbs.
const exported = require("pg-boss");
const PgBoss = exported.PgBoss ?? exported.default ?? exported;

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
  const began = process.hrtime.bigint();
  if (verb === "prepare") {
    await boss.createQueue("bench");
  } else if (verb === "enqueue") {
    for (let n = 0; n < amount; n++) await boss.send("bench", data);
  } else if (verb === "enqueue_batch") {
    for (let first = 0; first < amount; first += batch) {
      await boss.insert(Array.from({ length: batch }, () => ({ name: "bench", data })));
    }
  } else if (verb === "drain") {
    for (;;) {
      const jobs = await boss.fetch("bench", { batchSize: 100 });
      if (!jobs || jobs.length === 0) break;
      await boss.complete("bench", jobs.map((job) => job.id));
    }
  }
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  await boss.stop({ graceful: false });
  console.log(amount / seconds);
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
