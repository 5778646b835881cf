// The same as starting_gun.py for what runs on Node.
const { readSync } = require("node:fs");

function waitForALine() {
  const one = Buffer.alloc(1);
  while (readSync(0, one, 0, 1, null) === 1 && one[0] !== 10);
}

exports.ready = () => {
  console.log("ready");
  waitForALine();
  return performance.now();
};

exports.done = (...figures) => {
  console.log(figures.join(" "));
  waitForALine();
};

exports.doneSince = (began) => exports.done((performance.now() - began) / 1000);

exports.pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
